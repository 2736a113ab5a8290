//! The report as a picture: who waited, who was inside, what was sold and how long answers took, one
//! below the other over the same time.
//!
//! An SVG without scripts, fonts or references, small enough to be read. Its colours are legible on
//! white and on black; where the reader's system says which, text is darker or lighter still.

mod axis;

use std::fmt::{self, Write};

use super::{Report, Sample};
use axis::Axis;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 64.0;
const PANEL: f64 = 128.0;
const GAP: f64 = 46.0;
const BOTTOM: f64 = 48.0;
/// Points of a line, at most: more than there are pixels across are none.
const POINTS_MAX: usize = 900;

const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#5f6b7a}\
.title{font-size:17px;font-weight:600}.name{font-weight:600}\
.end{text-anchor:end}.middle{text-anchor:middle}\
.grid{stroke:#8b95a3;stroke-opacity:.28}.axis{stroke:#8b95a3}\
.limit{stroke:#8b95a3;stroke-width:1.5;stroke-dasharray:5 4}\
.line{fill:none;stroke-width:2;stroke-linejoin:round}.area{stroke:none;fill-opacity:.16}\
@media(prefers-color-scheme:dark){text{fill:#aab4c2}}\
@media(prefers-color-scheme:light){text{fill:#48525f}}";

const WAITING: &str = "#3d85c6";
const INSIDE: &str = "#2f9e72";
const SOLD: &str = "#d0802a";
const HALF: &str = "#9a74cf";
const MOST: &str = "#d1566a";

type Value = fn(&Sample) -> Option<f64>;

/// One thing over time.
struct Curve<'a> {
    /// Empty where the panel has one curve, which its name names.
    name: &'a str,
    colour: &'static str,
    /// None where there was nothing to be measured: the line goes on behind it.
    value: Value,
    is_filled: bool,
}

/// What shares one axis.
struct Panel<'a> {
    name: &'a str,
    curves: Vec<Curve<'a>>,
    /// A value that is not passed, and what it is.
    limit: Option<(f64, &'a str)>,
    axis: Axis,
}

impl Report {
    /// The picture, as an SVG.
    #[must_use]
    pub fn to_svg(&self) -> String {
        let course = thinned(&self.course);
        let panels = self.panels(&course);
        let mut svg = String::new();
        self.draw(&mut svg, &course, &panels).expect("a text can always be written to");
        svg
    }

    fn panels(&self, course: &[Sample]) -> Vec<Panel<'static>> {
        let most = |value: Value| course.iter().filter_map(value).fold(0.0, f64::max);
        let filled = |colour, value| vec![Curve { name: "", colour, value, is_filled: true }];
        let waiting: Value = |sample| Some(sample.waiting.into());
        let inside: Value = |sample| Some(sample.inside.into());
        let sold: Value = |sample| Some(count(sample.seats_sold));
        let latency = |name, colour, value| Curve { name, colour, value, is_filled: false };
        let p50: Value = |sample| sample.p50_ms;
        let p99: Value = |sample| sample.p99_ms;
        // A limit far above everything would press the curve to the ground.
        let near = |limit: f64, most: f64| limit <= 2.5 * most;
        let active = self.active_limit.map(f64::from).filter(|limit| near(*limit, most(inside)));
        let seats = Some(count(self.seat_count)).filter(|seats| near(*seats, most(sold)));
        vec![
            Panel {
                name: "People waiting",
                curves: filled(WAITING, waiting),
                limit: None,
                axis: Axis::linear(most(waiting)),
            },
            Panel {
                name: "People admitted",
                curves: filled(INSIDE, inside),
                limit: active.map(|limit| (limit, "active_limit")),
                axis: Axis::linear(most(inside).max(active.unwrap_or(0.0))),
            },
            Panel {
                name: "Seats sold",
                curves: filled(SOLD, sold),
                limit: seats.map(|seats| (seats, "all seats")),
                axis: Axis::linear(most(sold).max(seats.unwrap_or(0.0))),
            },
            Panel {
                name: "Latency without payments, ms",
                curves: vec![latency("p50", HALF, p50), latency("p99", MOST, p99)],
                limit: None,
                axis: Axis::logarithmic(most(p99)),
            },
        ]
    }

    fn draw(&self, svg: &mut String, course: &[Sample], panels: &[Panel<'_>]) -> fmt::Result {
        let height = below(panels.len()) - GAP + BOTTOM;
        let last_s = course.last().map_or(1.0, |sample| count(sample.at_ms) / 1e3).max(1.0);
        let time = Time { last_s };
        writeln!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             width=\"{WIDTH}\" height=\"{height}\" role=\"img\">"
        )?;
        let title = escaped(&format!("{}: {} buyers", self.title, grouped(self.buyers.into())));
        let told = format!(
            "{} of {} seats sold in {last_s:.0} s; {} answers over {} connections",
            grouped(self.seats_sold),
            grouped(self.seat_count),
            grouped(self.answers),
            self.connections,
        );
        writeln!(svg, "<title>{title}</title>\n<desc>{told}</desc>\n<style>{STYLE}</style>")?;
        writeln!(svg, "<text class=\"title\" x=\"{LEFT}\" y=\"24\">{title}</text>")?;
        writeln!(svg, "<text x=\"{LEFT}\" y=\"43\">{told}</text>")?;
        for (number, panel) in panels.iter().enumerate() {
            panel.draw(svg, below(number), &time, course)?;
        }
        let ground = below(panels.len()) - GAP;
        for second in time.ticks() {
            let x = time.x(second);
            writeln!(
                svg,
                "<text class=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{second}</text>",
                ground + 18.0
            )?;
        }
        let middle = f64::midpoint(LEFT, WIDTH - RIGHT);
        writeln!(
            svg,
            "<text class=\"middle\" x=\"{middle:.1}\" y=\"{:.1}\">seconds</text>",
            ground + 38.0
        )?;
        writeln!(svg, "</svg>")
    }
}

impl Panel<'_> {
    fn draw(&self, svg: &mut String, top: f64, time: &Time, course: &[Sample]) -> fmt::Result {
        let ground = top + PANEL;
        let (left, right) = (LEFT, WIDTH - RIGHT);
        let y = |value: f64| ground - PANEL * self.axis.share(value);
        writeln!(svg, "<g>")?;
        writeln!(
            svg,
            "<text class=\"name\" x=\"{left}\" y=\"{:.1}\">{}</text>",
            top - 9.0,
            self.name
        )?;
        self.draw_legend(svg, top - 9.0)?;
        for tick in self.axis.ticks() {
            let at = y(*tick);
            writeln!(svg, "<path class=\"grid\" d=\"M{left} {at:.1}H{right}\"/>")?;
            let label = axis::label(*tick);
            writeln!(
                svg,
                "<text class=\"end\" x=\"{:.1}\" y=\"{:.1}\">{label}</text>",
                left - 8.0,
                at + 4.5
            )?;
        }
        for second in time.ticks() {
            writeln!(svg, "<path class=\"grid\" d=\"M{:.1} {top}V{ground}\"/>", time.x(second))?;
        }
        writeln!(svg, "<path class=\"axis\" d=\"M{left} {ground}H{right}\"/>")?;
        for curve in &self.curves {
            let mut line = String::new();
            for sample in course {
                let Some(value) = (curve.value)(sample) else { continue };
                let pen = if line.is_empty() { 'M' } else { 'L' };
                write!(line, "{pen}{:.1} {:.1}", time.x_ms(sample.at_ms), y(value))?;
            }
            let colour = curve.colour;
            if let (true, Some(first), Some(last)) =
                (curve.is_filled, course.first(), course.last())
            {
                let (from, to) = (time.x_ms(first.at_ms), time.x_ms(last.at_ms));
                let area = format!("{line}L{to:.1} {ground}L{from:.1} {ground}Z");
                writeln!(svg, "<path class=\"area\" fill=\"{colour}\" d=\"{area}\"/>")?;
            }
            writeln!(svg, "<path class=\"line\" stroke=\"{colour}\" d=\"{line}\"/>")?;
        }
        if let Some((limit, name)) = self.limit {
            let at = y(limit);
            writeln!(svg, "<path class=\"limit\" d=\"M{left} {at:.1}H{right}\"/>")?;
            let label = format!("{name} {}", axis::label(limit));
            writeln!(
                svg,
                "<text class=\"end\" x=\"{right}\" y=\"{:.1}\">{label}</text>",
                at - 5.0
            )?;
        }
        writeln!(svg, "</g>")
    }

    /// Where there are several curves, which is which.
    fn draw_legend(&self, svg: &mut String, y: f64) -> fmt::Result {
        let mut x = WIDTH - RIGHT;
        for curve in self.curves.iter().rev().filter(|curve| !curve.name.is_empty()) {
            writeln!(svg, "<text class=\"end\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", curve.name)?;
            let (from, to, at) = (x - 50.0, x - 30.0, y - 4.5);
            let colour = curve.colour;
            writeln!(
                svg,
                "<path class=\"line\" stroke=\"{colour}\" d=\"M{from:.1} {at:.1}H{to:.1}\"/>"
            )?;
            x -= 70.0;
        }
        Ok(())
    }
}

/// The axis that all panels share.
struct Time {
    last_s: f64,
}

impl Time {
    fn x(&self, second: f64) -> f64 {
        LEFT + (WIDTH - LEFT - RIGHT) * (second / self.last_s).clamp(0.0, 1.0)
    }

    fn x_ms(&self, ms: u64) -> f64 {
        self.x(count(ms) / 1e3)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let step = axis::round_step(self.last_s / 8.0).max(1.0);
        let last = self.last_s;
        (0_u32..100).map(move |number| f64::from(number) * step).take_while(move |at| *at <= last)
    }
}

/// Where the panel of a number begins.
fn below(number: usize) -> f64 {
    TOP + 24.0 + (PANEL + GAP) * count(number as u64)
}

fn higher(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    one.into_iter().chain(other).reduce(f64::max)
}

/// At most so many samples that every peak is still there.
fn thinned(course: &[Sample]) -> Vec<Sample> {
    let each = course.len().div_ceil(POINTS_MAX).max(1);
    let highest = |samples: &[Sample]| {
        samples.iter().copied().reduce(|one, other| Sample {
            waiting: one.waiting.max(other.waiting),
            inside: one.inside.max(other.inside),
            p50_ms: higher(one.p50_ms, other.p50_ms),
            p99_ms: higher(one.p99_ms, other.p99_ms),
            ..other
        })
    };
    // Everything begins with nobody.
    let thinned = course.chunks(each).filter_map(highest);
    std::iter::once(Sample::default()).chain(thinned).collect()
}

#[expect(clippy::cast_precision_loss, reason = "what is drawn is far below 2^52")]
fn count(number: u64) -> f64 {
    number as f64
}

/// With a comma at every third digit.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// As text of XML. What cannot stand there at all is left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for character in text.chars().filter(|character| !character.is_control()) {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rehearsal::report::tests::report;

    /// Whether every element that is opened is closed, in its order.
    fn is_well_formed(xml: &str) -> bool {
        let mut open = Vec::new();
        let mut rest = xml;
        while let Some(at) = rest.find('<') {
            let Some(end) = rest[at..].find('>') else { return false };
            let tag = &rest[at + 1..at + end];
            if rest[..at].contains('&') && !rest[..at].contains(';') {
                return false;
            }
            match (tag.strip_prefix('/'), tag.ends_with('/')) {
                (Some(name), _) if open.pop() != Some(name) => return false,
                (Some(_), _) | (None, true) => {}
                (None, false) => open.push(tag.split(' ').next().unwrap_or(tag)),
            }
            rest = &rest[at + end + 1..];
        }
        open.is_empty() && rest.trim().is_empty()
    }

    #[test]
    fn it_is_well_formed_whatever_is_played() {
        let mut report = report();
        report.title = "<b>\"봄\" & </svg>\u{1}".to_owned();
        let svg = report.to_svg();
        assert!(is_well_formed(&svg), "{svg}");
        assert!(svg.contains("&lt;b&gt;&quot;봄&quot; &amp; &lt;/svg&gt;: 1,000 buyers"));
        for name in [
            "People waiting",
            "People admitted",
            "Seats sold",
            "Latency without payments, ms",
            "p99",
        ] {
            assert!(svg.contains(&format!(">{name}<")), "{name}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn nothing_at_all_is_a_picture_too() {
        let mut report = report();
        report.course.clear();
        let svg = report.to_svg();
        assert!(is_well_formed(&svg) && !svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn a_long_course_keeps_its_peaks() {
        let sample = |at: u64| Sample {
            at_ms: at * 1_000,
            waiting: if at == 7_777 { 500 } else { 1 },
            ..Sample::default()
        };
        let course: Vec<Sample> = (0..10_000).map(sample).collect();
        let thinned = thinned(&course);
        assert!(thinned.len() <= POINTS_MAX + 1);
        assert_eq!(thinned.iter().map(|sample| sample.waiting).max(), Some(500));
        assert_eq!(thinned.last().map(|sample| sample.at_ms), Some(9_999_000));
    }

    #[test]
    fn digits_are_grouped() {
        let table = [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")];
        for (number, text) in table {
            assert_eq!(grouped(number), text);
        }
    }
}
