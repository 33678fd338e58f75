//! The table as a picture: four charts over the number of checkpoints.

use std::fmt::Write;

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 56.0;
const TOP: f64 = 28.0;
const PLOT_WIDTH: f64 = WIDTH - LEFT - 16.0;
const PLOT_HEIGHT: f64 = HEIGHT - TOP - 40.0;
/// Rows of which the median is drawn: single times are noisy.
const WINDOW: usize = 10;

struct Chart {
    title: &'static str,
    curve: Vec<(f64, f64)>,
    points: Vec<(f64, f64)>,
}

/// Draws the table.
pub(crate) fn draw(csv: &str) -> String {
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    let table = Table::read(csv);
    let chart = |title, column: &str, scale: &dyn Fn(f64) -> f64| Chart {
        title,
        curve: medians(&table.of(column), scale),
        points: Vec::new(),
    };
    let afresh = table.of("afresh_bytes").into_iter();
    let charts = [
        Chart {
            points: afresh.map(|(x, bytes)| (x, mib(bytes))).collect(),
            ..chart(
                "size of the store, MiB (dots: stored afresh)",
                "store_bytes",
                &mib,
            )
        },
        chart("begin a checkpoint, ms of a processor", "begin_cpu_ms", &|ms| ms),
        chart("list, ms", "list_ms", &|ms| ms),
        chart("prune, ms of a processor", "prune_cpu_ms", &|ms| ms),
    ];
    let last = table
        .of("checkpoint")
        .last()
        .map_or(1.0, |&(checkpoint, _)| checkpoint);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <title>A store over {last} checkpoints</title>\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        2.0 * WIDTH,
        2.0 * HEIGHT
    );
    for (i, chart) in charts.iter().enumerate() {
        let (column, row) = (i % 2, i / 2);
        chart.paint(
            &mut svg,
            column as f64 * WIDTH + LEFT,
            row as f64 * HEIGHT + TOP,
            last,
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// The cells of a table, by row and by name of the column.
struct Table<'t> {
    names: Vec<&'t str>,
    rows: Vec<Vec<&'t str>>,
}

impl<'t> Table<'t> {
    fn read(csv: &'t str) -> Self {
        let mut lines = csv.lines().map(|line| line.split(',').collect());
        Table {
            names: lines.next().unwrap(),
            rows: lines.collect(),
        }
    }

    /// The first cell of each row, and the one of this column where it is not empty.
    fn of(&self, column: &str) -> Vec<(f64, f64)> {
        let at = self.names.iter().position(|name| *name == column).unwrap();
        let number = |cell: &str| cell.parse::<f64>().ok();
        self.rows
            .iter()
            .filter_map(|row| Some((number(row[0])?, number(row[at])?)))
            .collect()
    }
}

/// The median of each few values that follow one another.
fn medians(values: &[(f64, f64)], scale: &dyn Fn(f64) -> f64) -> Vec<(f64, f64)> {
    let median = |some: &[(f64, f64)]| {
        let mut sorted: Vec<f64> = some.iter().map(|&(_, y)| scale(y)).collect();
        sorted.sort_by(f64::total_cmp);
        (some[some.len() / 2].0, sorted[sorted.len() / 2])
    };
    values.chunks(WINDOW).map(median).collect()
}

impl Chart {
    fn paint(&self, svg: &mut String, left: f64, top: f64, last: f64) {
        let values = self.curve.iter().chain(&self.points).map(|&(_, y)| y);
        let ceiling = round_up(values.fold(0.0, f64::max));
        let place = |(x, y): (f64, f64)| {
            (
                left + x / last * PLOT_WIDTH,
                top + PLOT_HEIGHT - y / ceiling * PLOT_HEIGHT,
            )
        };
        let bottom = top + PLOT_HEIGHT;
        let _ = writeln!(
            svg,
            "<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{}</text>",
            top - 10.0,
            self.title
        );
        for quarter in 0..=4 {
            let share = f64::from(quarter) / 4.0;
            let (x, y) = place((share * last, share * ceiling));
            let (down, across) = (bottom + 14.0, left - 6.0);
            let _ = writeln!(
                svg,
                "<path d=\"M{left} {y:.1}h{PLOT_WIDTH}\" stroke=\"#ddd\"/>\
                 <text x=\"{across}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
                 <text x=\"{x:.1}\" y=\"{down}\" text-anchor=\"middle\">{}</text>",
                y + 4.0,
                (share * ceiling * 1e6).round() / 1e6,
                (share * last).round()
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">checkpoints made</text>",
            left + PLOT_WIDTH / 2.0,
            bottom + 28.0
        );
        let mut path = String::new();
        for (i, &point) in self.curve.iter().enumerate() {
            let (x, y) = place(point);
            let _ = write!(path, "{}{x:.1} {y:.1}", if i == 0 { "M" } else { "L" });
        }
        let _ = writeln!(
            svg,
            "<path d=\"{path}\" fill=\"none\" stroke=\"#0072b2\" stroke-width=\"1.5\"/>"
        );
        for &point in &self.points {
            let (x, y) = place(point);
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.5\" fill=\"#d55e00\"/>"
            );
        }
    }
}

/// The next larger number of one digit that is easy to halve twice.
fn round_up(value: f64) -> f64 {
    let scale = 10_f64.powf(value.max(1e-3).log10().floor());
    let steps = [1.0, 2.0, 4.0, 8.0, 10.0];
    steps
        .into_iter()
        .map(|step| step * scale)
        .find(|&step| step >= value)
        .unwrap_or(10.0 * scale)
}
