//! Plots as SVG: axes with units, a title and a description for those who cannot see them, colors by class, so that the page decides about light
//! and dark.
//!
//! Each plot is drawn twice, for a wide and for a narrow screen, and the page shows one: scaled down, its text could not be read.

use std::fmt::Write as _;

use super::calendar;
use super::html::Html;
use crate::size;

/// A drawing's size, in units that are about a pixel.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    class: &'static str,
    width: f64,
    height: f64,
    /// About how many marks the axis of time has room for.
    marks: i64,
}

const FRAMES: [Frame; 2] = [
    Frame {
        class: "wide",
        width: 720.0,
        height: 250.0,
        marks: 8,
    },
    Frame {
        class: "narrow",
        width: 328.0,
        height: 210.0,
        marks: 3,
    },
];

/// Room for what stands at the axes.
const LEFT: f64 = 64.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 28.0;

/// Most bars that can be told apart.
pub(super) const BARS_MAX: i64 = 62;

/// What a plot is about.
pub(super) struct About<'a> {
    /// Distinguishes it from the others of the page.
    pub(super) id: &'a str,
    pub(super) title: &'a str,
    pub(super) description: &'a str,
}

/// A bar: what stands below it, and its parts from the bottom, each with the number of its color.
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) parts: Vec<(usize, u64)>,
}

impl Bar {
    pub(super) fn total(&self) -> u64 {
        self.parts
            .iter()
            .fold(0, |sum, (_, bytes)| sum.saturating_add(*bytes))
    }
}

/// Draws how a number of bytes grew: points of second and bytes, by time. There are at least two moments.
pub(super) fn steps(html: &mut Html, about: &About<'_>, points: &[(i64, u64)]) {
    let most = points.iter().map(|(_, bytes)| *bytes).max().unwrap_or(0);
    let (from, to) = (points[0].0, points[points.len() - 1].0);
    each_frame(html, about, |frame, svg| {
        let axis = Axis::of(most);
        frame.vertical(svg, &axis);
        frame.time_marks(svg, from, to);
        let x = |second: i64| frame.x(fraction(second - from, to - from));
        let y = |bytes: u64| frame.y(share(bytes, axis.top));
        let mut line = format!("M{:.1} {:.1}", x(from), y(points[0].1));
        // More points than pixels would only make the page large.
        let mut last = f64::MIN;
        for (at, &(second, bytes)) in points.iter().enumerate().skip(1) {
            if x(second) - last >= 1.0 || at + 1 == points.len() {
                last = x(second);
                write!(line, "H{last:.1}V{:.1}", y(bytes)).expect("a String takes all text");
            }
        }
        let (left, floor) = (x(from), y(0));
        let area = format!("{line}V{floor:.1}H{left:.1}Z");
        write!(
            svg,
            "<path class=\"area\" d=\"{area}\"/><path class=\"line\" d=\"{line}\"/>"
        )
        .expect("a String takes all text");
    });
}

/// Draws bars side by side.
pub(super) fn bars(html: &mut Html, about: &About<'_>, bars: &[Bar], marks: &[(usize, String)]) {
    let most = bars.iter().map(Bar::total).max().unwrap_or(0);
    each_frame(html, about, |frame, svg| {
        let axis = Axis::of(most);
        frame.vertical(svg, &axis);
        let slot = (frame.width - LEFT - RIGHT) / count(bars.len().max(1));
        let width = (slot * 0.78).min(46.0);
        for (at, bar) in bars.iter().enumerate() {
            let x = LEFT + slot * count(at) + (slot - width) / 2.0;
            let mut title = Html::default();
            title.text(&format!("{}: {}", bar.label, size::show(bar.total())));
            write!(svg, "<g><title>{}</title>", title.finish()).expect("a String takes all text");
            let mut below = 0_u64;
            for &(color, bytes) in bar.parts.iter().filter(|(_, bytes)| *bytes > 0) {
                let (floor, top) = (
                    share(below, axis.top),
                    share(below.saturating_add(bytes), axis.top),
                );
                let (y, height) = (frame.y(top), (frame.y(floor) - frame.y(top)).max(0.7));
                write!(svg, "<rect class=\"c{color}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>")
                    .expect("a String takes all text");
                below = below.saturating_add(bytes);
            }
            svg.push_str("</g>");
        }
        let room = usize::try_from(frame.marks).unwrap_or(1) + 2;
        let shown = marks.iter().step_by(marks.len().div_ceil(room).max(1));
        for (at, text) in shown {
            frame.below(svg, LEFT + slot * (count(*at) + 0.5), text);
        }
    });
}

fn each_frame(html: &mut Html, about: &About<'_>, draw: impl Fn(&Frame, &mut String)) {
    for frame in &FRAMES {
        let name = format!("{}-{}", about.id, frame.class);
        html.raw(&format!(
            "<svg class=\"plot {}\" viewBox=\"0 0 {} {}\" role=\"img\" aria-labelledby=\"{name}-title {name}-desc\">",
            frame.class, frame.width, frame.height
        ));
        html.raw(&format!("<title id=\"{name}-title\">"))
            .text(about.title);
        html.raw(&format!("</title><desc id=\"{name}-desc\">"))
            .text(about.description);
        let mut svg = String::new();
        draw(frame, &mut svg);
        html.raw("</desc>").raw(&svg).raw("</svg>\n");
    }
}

impl Frame {
    fn x(&self, part: f64) -> f64 {
        LEFT + (self.width - LEFT - RIGHT) * part
    }

    fn y(&self, part: f64) -> f64 {
        self.height - BOTTOM - (self.height - BOTTOM - TOP) * part
    }

    /// Draws the axis of bytes with a line across for each mark.
    fn vertical(&self, svg: &mut String, axis: &Axis) {
        for (bytes, label) in &axis.marks {
            let y = self.y(share(*bytes, axis.top));
            let (right, text_x, text_y) = (self.width - RIGHT, LEFT - 8.0, y + 4.0);
            let class = if *bytes == 0 { "axis" } else { "grid" };
            write!(
                svg,
                "<line class=\"{class}\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                <text x=\"{text_x}\" y=\"{text_y:.1}\" text-anchor=\"end\">{label}</text>"
            )
            .expect("a String takes all text");
        }
    }

    fn time_marks(&self, svg: &mut String, from: i64, to: i64) {
        for (second, text) in calendar::marks(from, to, self.marks) {
            self.below(svg, self.x(fraction(second - from, to - from)), &text);
        }
    }

    /// Draws a mark below the drawing; what would stick out is moved in.
    fn below(&self, svg: &mut String, x: f64, text: &str) {
        let (floor, tip) = (self.height - BOTTOM, self.height - BOTTOM + 4.0);
        let half = 3.2 * count(text.len());
        let text_x = x.clamp(half, self.width - half);
        let text_y = self.height - 9.0;
        write!(
            svg,
            "<line class=\"axis\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{floor}\" y2=\"{tip}\"/>\
            <text x=\"{text_x:.1}\" y=\"{text_y}\" text-anchor=\"middle\">{text}</text>"
        )
        .expect("a String takes all text");
    }
}

/// An axis of bytes.
struct Axis {
    top: u64,
    /// From 0 to the top.
    marks: Vec<(u64, String)>,
}

impl Axis {
    /// Makes an axis with round numbers that reaches `most`.
    fn of(most: u64) -> Self {
        let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let steps = [1_u64, 2, 5, 10, 20, 50, 100, 200, 500];
        let all = (0_u32..)
            .zip(units)
            .flat_map(|(power, unit)| steps.map(|step| (step, power, unit)));
        let bytes = |step: u64, power: u32| step.saturating_mul(1 << (10 * power));
        let (step, power, unit) = all
            .into_iter()
            .find(|&(step, power, _)| most.div_ceil(bytes(step, power)) <= 4)
            .unwrap_or((5, 6, "EiB"));
        let count = most.div_ceil(bytes(step, power)).max(1);
        let mark = |n: u64| {
            let label = if n == 0 {
                "0".to_owned()
            } else {
                format!("{} {unit}", n * step)
            };
            (bytes(step, power).saturating_mul(n), label)
        };
        Self {
            top: bytes(step, power).saturating_mul(count),
            marks: (0..=count).map(mark).collect(),
        }
    }
}

#[allow(clippy::cast_precision_loss)] // A drawing has less than a thousand different places.
fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[allow(clippy::cast_precision_loss)] // As above.
fn fraction(part: i64, whole: i64) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[allow(clippy::cast_precision_loss)] // As above.
fn count(number: usize) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_round_numbers_and_reach_the_greatest() {
        for most in [
            0,
            1,
            5,
            1023,
            1024,
            1_500_000,
            7 << 30,
            u64::MAX / 2,
            u64::MAX,
        ] {
            let axis = Axis::of(most);
            assert!(
                axis.top >= most && axis.marks.len() <= 6,
                "{most}: {:?}",
                axis.marks
            );
        }
        let labels = |most| {
            Axis::of(most)
                .marks
                .into_iter()
                .map(|(_, label)| label)
                .collect::<Vec<_>>()
        };
        assert_eq!(labels(7 << 20), ["0", "2 MiB", "4 MiB", "6 MiB", "8 MiB"]);
        assert_eq!(labels(900), ["0", "500 B", "1000 B"]);
    }

    #[test]
    fn a_thousand_points_are_no_more_than_the_pixels() {
        let points: Vec<_> = (0..100_000_u32)
            .map(|n| (i64::from(n), u64::from(n)))
            .collect();
        let about = About {
            id: "x",
            title: "<t>",
            description: "d",
        };
        let mut html = Html::default();
        steps(&mut html, &about, &points);
        let html = html.finish();
        assert!(
            html.len() < 60_000 && html.contains("&lt;t&gt;"),
            "{}",
            html.len()
        );
    }
}
