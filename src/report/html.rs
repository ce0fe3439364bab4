//! Text that becomes HTML: whatever comes from outside goes through [`Html::text`] or [`Html::bytes`], and nothing else may.

use crate::format::escape;

/// A page, or a part of one, that is being written.
#[derive(Default)]
pub(super) struct Html {
    html: String,
}

impl Html {
    /// Adds markup of our own.
    pub(super) fn raw(&mut self, markup: &str) -> &mut Self {
        self.html.push_str(markup);
        self
    }

    /// Adds text, which may stand between tags and in quoted attributes. Control characters are shown as everywhere else.
    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        for c in escape(text.as_bytes()).chars() {
            match c {
                '&' => self.html.push_str("&amp;"),
                '<' => self.html.push_str("&lt;"),
                '>' => self.html.push_str("&gt;"),
                '"' => self.html.push_str("&quot;"),
                '\'' => self.html.push_str("&#39;"),
                c => self.html.push(c),
            }
        }
        self
    }

    /// Adds a name of any bytes; what is not UTF-8 is shown as everywhere else.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.text(&escape(bytes))
    }

    /// Adds an element without attributes that has only text.
    pub(super) fn element(&mut self, name: &str, text: &str) -> &mut Self {
        self.raw(&format!("<{name}>")).text(text);
        // Its name ends where attributes begin.
        let name = name.split(' ').next().unwrap_or_default();
        self.raw(&format!("</{name}>\n"))
    }

    pub(super) fn finish(self) -> String {
        self.html
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_outside_becomes_markup() {
        let mut html = Html::default();
        html.bytes(b"<script src='x'>\"&\x00\x1b\xff</script>");
        assert_eq!(
            html.finish(),
            "&lt;script src=&#39;x&#39;&gt;&quot;&amp;\\x00\\x1b\\xff&lt;/script&gt;"
        );
    }
}
