#!/usr/bin/env python3
"""Looks at a page that `pileus report` wrote, in headless Chromium: at desktop and phone width, light and dark.

usage: look_at_page.py PAGE [DIRECTORY]

Without a browser only the first half is done, and that is said: the page is well-formed, loads nothing from elsewhere, has no script, its
drawings are XML, and names referred to are there. With one, nothing may stick out to the right at any width, and no text of a drawing may
overlap another or leave it. Screenshots go to DIRECTORY, if one is given. The exit code is 0 if all is well, 1 if not.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

WIDTHS = {"desktop": 1280, "tablet": 700, "phone": 360}
VOID = {"meta", "link", "br", "hr", "img", "input"}
BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]

# Run in the page by the checker's copy of it: what a person would see as wrong, as a line each.
MEASURE = """
const wrong = [], wide = document.documentElement.clientWidth;
if (document.documentElement.scrollWidth > wide) wrong.push('the page is ' + document.documentElement.scrollWidth + ' wide');
for (const e of document.querySelectorAll('body *')) {
  const r = e.getBoundingClientRect();
  if (r.width && r.right > wide + 0.5) wrong.push(e.tagName + ' sticks out to ' + r.right + ': ' + e.textContent.slice(0, 40));
}
for (const svg of document.querySelectorAll('svg')) {
  const frame = svg.getBoundingClientRect();
  const texts = [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()]).filter(t => t[1].width);
  for (const [text, r] of texts) if (r.left < frame.left - 1 || r.right > frame.right + 1) wrong.push('a mark leaves its drawing: ' + text);
  for (let i = 0; i < texts.length; i++) for (let j = i + 1; j < texts.length; j++) {
    const a = texts[i][1], b = texts[j][1];
    if (a.left < b.right && b.left < a.right && a.top + 2 < b.bottom && b.top + 2 < a.bottom)
      wrong.push('marks overlap: ' + texts[i][0] + ', ' + texts[j][0]);
  }
}
const drawn = [...document.querySelectorAll('svg')].filter(s => s.getBoundingClientRect().width).length;
document.body.innerHTML = '<pre id="measured"></pre>';
document.getElementById('measured').textContent = 'paper ' + getComputedStyle(document.body).backgroundColor + '; ' + drawn + ' drawings\\n' + wrong.join('\\n');
"""


class Page(HTMLParser):
    """Collects what is wrong with the text of a page."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.wrong, self.ids, self.named, self.drawings = [], [], set(), [], 0

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag in {"script", "iframe", "object", "embed", "link", "base", "form"}:
            self.wrong.append(f"has <{tag}>")
        for name, value in attributes.items():
            if name.startswith("on"):
                self.wrong.append(f"<{tag}> has {name}")
            if name in {"src", "href", "action", "poster", "xlink:href"} and not (value or "").startswith("#"):
                self.wrong.append(f"<{tag}> leads to {value}")
        if "id" in attributes:
            if attributes["id"] in self.ids:
                self.wrong.append(f"two elements are called {attributes['id']}")
            self.ids.add(attributes["id"])
        self.named += attributes.get("aria-labelledby", "").split()
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open[-1] != tag:
            self.wrong.append(f"</{tag}> closes {self.open[-1:]}")
        else:
            self.open.pop()


def check_text(text):
    page = Page()
    page.feed(text)
    page.close()
    wrong = page.wrong + [f"<{tag}> is not closed" for tag in page.open]
    wrong += [f"nothing is called {name}" for name in page.named if name not in page.ids]
    style = "".join(re.findall(r"<style>(.*?)</style>", text, re.S))
    wrong += [f"the style has {word}" for word in ["url(", "@import", "http:", "https:"] if word in style]
    if any(ord(c) < 32 and c != "\n" for c in text):
        wrong.append("has a control character")
    for svg in re.findall(r"<svg.*?</svg>", text, re.S):
        try:
            drawing = ElementTree.fromstring(svg)
        except ElementTree.ParseError as error:
            wrong.append(f"a drawing is not XML: {error}")
            continue
        if drawing.find("title") is None or drawing.find("desc") is None:
            wrong.append("a drawing has no title or description")
        for element in drawing.iter():
            wrong += [f"a drawing has {value}" for value in element.attrib.values() if re.search(r"NaN|inf", value)]
    return wrong


def browse(browser, arguments, width, is_dark, page):
    with tempfile.TemporaryDirectory() as profile:
        command = [browser, "--headless=new", "--disable-gpu", "--no-first-run", f"--user-data-dir={profile}"]
        command += ["--no-sandbox"] if os.geteuid() == 0 else []
        # Headless windows are 500 wide at least: a phone is a frame in a page.
        command += [f"--blink-settings=preferredColorScheme={0 if is_dark else 1}", "--hide-scrollbars", "--force-device-scale-factor=1"]
        command += [f"--window-size={max(width, 500)},{arguments.pop('height', 2400)}", *arguments.get("more", []), page.as_uri()]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if ended.returncode != 0:
            raise SystemExit(f"{browser} ended with {ended.returncode}: {ended.stderr[-300:]}")
        return ended.stdout


def check_in_browser(browser, page, directory):
    text = page.read_text()
    wrong = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, width in WIDTHS.items():
            for shade in ["light", "dark"]:
                narrow = f"<style>html {{ width: {width}px; }}</style>" if width < 500 else ""
                inner = Path(scratch, "inner.html")
                # The page's own policy allows no script, which is what is checked here; the copy is measured without it.
                free = re.sub(r"<meta http-equiv=\"Content-Security-Policy\"[^>]*>", "", text)
                inner.write_text(free.replace("</body>", f"<script>{MEASURE}</script></body>"))
                outer = Path(scratch, "outer.html")
                frame = "<!DOCTYPE html><body style='margin:0'><iframe id=f style='border:0;width:%dpx;height:%dpx' src='%s'></iframe>"
                outer.write_text(frame % (width, 2400, inner.name) + "<script>onload=()=>{document.body.textContent=f.contentDocument.getElementById('measured').textContent}</script>")
                measured = browse(browser, {"more": ["--allow-file-access-from-files", "--dump-dom", "--virtual-time-budget=5000"]}, width, shade == "dark", outer)
                body = re.search(r"<body[^>]*>(.*)</body>", measured, re.S)
                lines = body.group(1).strip().split("\n") if body else ["nothing was measured"]
                print(f"{name} ({width}), {shade}: {lines[0]}")
                if not lines[0].startswith("paper"):
                    wrong.append(f"{name}, {shade}: nothing was measured: {lines[:2]}")
                wrong += [f"{name}, {shade}: {line}" for line in lines[1:] if line]
                if directory:
                    plain = Path(scratch, "plain.html")
                    plain.write_text(text)
                    height = 4200 if width < 500 else 3600
                    outer.write_text(frame % (width, height, plain.name))
                    target = Path(directory, f"{name}-{shade}.png").absolute()
                    browse(browser, {"height": height, "more": [f"--screenshot={target}"]}, width, shade == "dark", outer)
    return wrong


def main():
    page = Path(sys.argv[1]).absolute()
    directory = sys.argv[2] if len(sys.argv) > 2 else None
    wrong = check_text(page.read_text())
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser:
        wrong += check_in_browser(browser, page, directory)
    else:
        print("no browser is here (" + ", ".join(BROWSERS) + "): only the text of the page was checked, not how it looks")
    for line in wrong:
        print(f"wrong: {line}")
    return 1 if wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
