//! What the contests found, in the shape in which it is printed and written down.

/// What one contest found, on one engine if it has to do with one.
#[derive(Debug)]
pub(super) struct Section {
    /// A heading.
    pub(super) title: String,
    /// What was done, by how many, against whom: one paragraph.
    pub(super) about: String,
    pub(super) tables: Vec<Table>,
    pub(super) plots: Vec<Plot>,
    pub(super) verdicts: Vec<Verdict>,
    /// What a reader must know to believe the figures, a sentence each.
    pub(super) notes: Vec<String>,
}

/// Figures. The first column names the row.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

/// Lines over a common axis.
#[derive(Debug)]
pub(super) struct Plot {
    /// Unique among all plots: its file's name is made from it.
    pub(super) title: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// Name and points of each line.
    pub(super) lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// One side of a plot.
#[derive(Debug)]
pub(super) struct Axis {
    /// What it counts, with its unit.
    pub(super) label: String,
    pub(super) is_logarithmic: bool,
}

/// A target and what was measured.
#[derive(Debug)]
pub(super) struct Verdict {
    /// What is promised, such as "at least 0.75 of the bare handler, by API key".
    pub(super) target: String,
    /// What was seen, such as "0.81/0.84/0.88".
    pub(super) measured: String,
    pub(super) is_reached: bool,
}

/// The least, the middle and the largest of the rounds, as every ratio is told.
pub(super) fn spread(values: &[f64]) -> String {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.first(), sorted.last()) {
        (Some(least), Some(most)) => format!("{least:.2}/{:.2}/{most:.2}", median(values)),
        _ => "not measured".into(),
    }
}

/// The value in the middle; of an even number the lower of the two.
pub(super) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
