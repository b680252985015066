//! Plots as SVG: lines over one axis, drawn from the same points that the tables tell, on a white ground of their own.

use super::report::{Axis, Plot};

/// The whole picture and the field of the lines in it, in pixels.
const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 86.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 54.0;
/// Told apart by people who see no red or green too (Okabe and Ito).
const COLOURS: [&str; 7] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];
/// Lines of the grid that an axis has at the most when it is not logarithmic.
const STEPS: f64 = 6.0;

/// From a figure to its place on one side of the field.
struct Scale {
    least: f64,
    most: f64,
    is_logarithmic: bool,
}

impl Scale {
    /// A scale on which all figures have a place. One that is not logarithmic begins at nothing, so that heights can be compared.
    fn new(axis: &Axis, figures: impl Iterator<Item = f64>) -> Scale {
        let is_logarithmic = axis.is_logarithmic;
        let (least, most) = figures.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), figure| (least.min(figure), most.max(figure)));
        match is_logarithmic {
            _ if least > most => Scale { least: 1.0, most: 10.0, is_logarithmic },
            // Half a step of room, so that a line does not run along the frame.
            true => Scale { least: least / 1.25, most: most * 1.25, is_logarithmic },
            false => Scale { least: least.min(0.0), most: if most > 0.0 { most * 1.05 } else { 1.0 }, is_logarithmic },
        }
    }

    /// 0 at the beginning of the side, 1 at its end.
    fn place(&self, figure: f64) -> f64 {
        match self.is_logarithmic {
            true => (figure / self.least).ln() / (self.most / self.least).ln(),
            false => (figure - self.least) / (self.most - self.least),
        }
    }

    /// Where the lines of the grid are.
    fn ticks(&self) -> Vec<f64> {
        match self.is_logarithmic {
            true => self.decades(),
            false => {
                let rough = (self.most - self.least) / STEPS;
                let decade = 10f64.powf(rough.log10().floor());
                let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|factor| factor * decade).find(|step| *step >= rough).unwrap_or(rough);
                let first = (self.least / step).ceil() as i64;
                (first..).map(|number| number as f64 * step).take_while(|tick| *tick <= self.most).collect()
            }
        }
    }

    /// The powers of ten, and 2 and 5 times them where there are few.
    fn decades(&self) -> Vec<f64> {
        let factors: &[f64] = if (self.most / self.least).log10() < 2.7 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let exponents = self.least.log10().floor() as i32..=self.most.log10().ceil() as i32;
        let all = exponents.flat_map(|exponent| factors.iter().map(move |factor| factor * 10f64.powi(exponent)));
        all.filter(|tick| (self.least..=self.most).contains(tick)).collect()
    }
}

impl Plot {
    /// The plot as a file. Points that a logarithmic axis has no place for are left out.
    pub(super) fn svg(&self) -> String {
        let has_place = |axis: &Axis, figure: f64| figure.is_finite() && (figure > 0.0 || !axis.is_logarithmic);
        let lines: Vec<(&str, Vec<(f64, f64)>)> = self
            .lines
            .iter()
            .map(|(name, points)| {
                (name.as_str(), points.iter().copied().filter(|(x, y)| has_place(&self.x, *x) && has_place(&self.y, *y)).collect())
            })
            .collect();
        let points = || lines.iter().flat_map(|(_, points)| points.iter().copied());
        let (across, up) = (Scale::new(&self.x, points().map(|(x, _)| x)), Scale::new(&self.y, points().map(|(_, y)| y)));
        let x_of = |figure: f64| LEFT + across.place(figure) * (WIDTH - LEFT - RIGHT);
        let y_of = |figure: f64| HEIGHT - BOTTOM - up.place(figure) * (HEIGHT - TOP - BOTTOM);

        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
             font-family=\"system-ui, sans-serif\" font-size=\"13\" fill=\"#222\">\n\
             <title>{title}</title>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
             <text x=\"16\" y=\"24\" font-size=\"15\" font-weight=\"600\">{title}</text>\n",
            title = escape(&self.title)
        );
        for tick in across.ticks() {
            let x = x_of(tick);
            svg += &rule(x, TOP, x, HEIGHT - BOTTOM);
            svg += &label(x, HEIGHT - BOTTOM + 18.0, "middle", &figure(tick));
        }
        for tick in up.ticks() {
            let y = y_of(tick);
            svg += &rule(LEFT, y, WIDTH - RIGHT, y);
            svg += &label(LEFT - 8.0, y + 4.0, "end", &figure(tick));
        }
        svg += &label((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 12.0, "middle", &self.x.label);
        let (x, y) = (18.0, (TOP + HEIGHT - BOTTOM) / 2.0);
        svg += &format!(
            "<text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\" transform=\"rotate(-90 {x} {y})\">{}</text>\n",
            escape(&self.y.label)
        );
        let mut beside = 16.0;
        for ((name, points), colour) in lines.iter().zip(COLOURS.iter().cycle()) {
            svg += &line(points.iter().map(|(x, y)| (x_of(*x), y_of(*y))).collect(), colour);
            svg += &format!("<rect x=\"{beside:.0}\" y=\"39\" width=\"14\" height=\"4\" fill=\"{colour}\"/>\n");
            svg += &label(beside + 20.0, 45.0, "start", name);
            // The letters of the font are not known here: wide ones have room in this.
            beside += 20.0 + 7.8 * name.chars().count() as f64 + 18.0;
        }
        svg + "</svg>\n"
    }
}

fn rule(x1: f64, y1: f64, x2: f64, y2: f64) -> String {
    format!("<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#ddd\"/>\n")
}

fn label(x: f64, y: f64, anchor: &str, words: &str) -> String {
    format!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>\n", escape(words))
}

fn line(points: Vec<(f64, f64)>, colour: &str) -> String {
    let path: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
    let mut drawn = format!("<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n", path.join(" "));
    for (x, y) in points {
        drawn += &format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>\n");
    }
    drawn
}

/// A figure as it stands beside its line of the grid: 10,000 and 0.25.
pub(super) fn figure(value: f64) -> String {
    // What the computer adds to a multiple of 0.1 is far behind this.
    let rounded = format!("{value:.6}");
    let (whole, fraction) = rounded.trim_end_matches('0').split_once('.').unwrap_or((&rounded, ""));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{grouped}{point}{fraction}")
}

fn escape(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scale(is_logarithmic: bool, figures: &[f64]) -> Scale {
        Scale::new(&Axis { label: String::new(), is_logarithmic }, figures.iter().copied())
    }

    #[test]
    fn every_figure_has_a_place_inside_the_field() {
        for figures in [&[3.0, 70.0][..], &[5.0], &[0.001, 1e7], &[]] {
            for is_logarithmic in [false, true] {
                let scale = scale(is_logarithmic, figures);
                assert!(figures.iter().all(|figure| (0.0..=1.0).contains(&scale.place(*figure))), "{figures:?}");
                let ticks = scale.ticks();
                assert!(!ticks.is_empty() && ticks.len() <= 12, "{figures:?}: {ticks:?}");
                assert!(ticks.iter().all(|tick| (0.0..=1.0).contains(&scale.place(*tick))), "{figures:?}: {ticks:?}");
            }
        }
    }

    #[test]
    fn a_linear_scale_begins_at_nothing_and_has_round_steps() {
        assert_eq!(scale(false, &[30.0, 70.0]).ticks(), [0.0, 20.0, 40.0, 60.0]);
        assert_eq!(scale(true, &[1.0, 256.0]).ticks(), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0]);
        assert_eq!(scale(true, &[1e4, 1e7]).ticks(), [1e4, 1e5, 1e6, 1e7]);
    }

    #[test]
    fn figures_are_grouped_and_not_longer_than_they_are() {
        assert_eq!(
            [0.0, 0.25, 1_000.0, 12_345_678.0, -1_500.0, 0.1 + 0.2].map(figure),
            ["0", "0.25", "1,000", "12,345,678", "-1,500", "0.3"]
        );
    }

    #[test]
    fn a_point_that_a_logarithmic_axis_has_no_place_for_is_left_out() {
        let axis = |is_logarithmic| Axis { label: "a < b".into(), is_logarithmic };
        let lines = vec![("one".to_owned(), vec![(0.0, 1.0), (10.0, 2.0), (100.0, f64::NAN)])];
        let svg = Plot { title: "t".into(), x: axis(true), y: axis(false), lines }.svg();
        assert_eq!(svg.matches("<circle").count(), 1);
        assert!(svg.contains("a &lt; b") && !svg.contains("NaN"));
    }
}
