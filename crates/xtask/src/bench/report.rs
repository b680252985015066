//! What the contests found, in the shape in which it is printed and written down.

/// What one contest found, on one engine if it has to do with one.
#[derive(Debug)]
pub(super) struct Section {
    /// A heading.
    pub(super) title: String,
    /// What was done, by how many, against which server: one paragraph.
    pub(super) about: String,
    pub(super) tables: Vec<Table>,
    pub(super) plots: Vec<Plot>,
    pub(super) verdicts: Vec<Verdict>,
    /// What a reader must know to believe the figures, a sentence each.
    pub(super) notes: Vec<String>,
}

impl Section {
    /// As Markdown. The plots are left out where there is no folder to look for them in.
    pub(super) fn markdown(&self, plots: Option<&str>) -> String {
        let mut text = format!("## {}\n\n{}\n", self.title, self.about);
        for table in &self.tables {
            text += &format!("\n{}", table.markdown());
        }
        for plot in self.plots.iter().filter(|_| plots.is_some()) {
            text += &format!("\n![{}]({}/{}.svg)\n", plot.title, plots.unwrap_or_default(), plot.file_name());
        }
        if !self.verdicts.is_empty() {
            let rows = self.verdicts.iter().map(Verdict::row).collect();
            text += &format!("\n{}", Table { head: VERDICT.map(str::to_owned).into(), rows }.markdown());
        }
        if !self.notes.is_empty() {
            text += &format!("\n{}\n", self.notes.join(" "));
        }
        text
    }
}

impl Table {
    /// As Markdown that is readable as text too: figures stand at the right, words at the left.
    pub(super) fn markdown(&self) -> String {
        let columns: Vec<(usize, bool)> = (0..self.head.len())
            .map(|column| {
                let cells = || self.rows.iter().filter_map(|row| row.get(column));
                let width = cells().chain(self.head.get(column)).map(|cell| cell.chars().count()).max();
                let has_words = cells().any(|cell| cell.starts_with(char::is_alphabetic));
                (width.unwrap_or(0).max(3), has_words)
            })
            .collect();
        let line = |row: &[String]| {
            let cells = row.iter().zip(&columns).map(|(cell, &(width, has_words))| match has_words {
                true => format!(" {cell:<width$} "),
                false => format!(" {cell:>width$} "),
            });
            format!("|{}|\n", cells.collect::<Vec<_>>().join("|"))
        };
        let rule = |&(width, has_words): &(usize, bool)| if has_words { "-".repeat(width) } else { "-".repeat(width - 1) + ":" };
        let rules: Vec<String> = columns.iter().map(rule).collect();
        line(&self.head) + &line(&rules) + &self.rows.iter().map(|row| line(row)).collect::<String>()
    }
}

impl Verdict {
    fn row(&self) -> Vec<String> {
        let outcome = if self.is_reached { "reached" } else { "**missed**" };
        vec![self.target.clone(), self.measured.clone(), outcome.to_owned()]
    }
}

const VERDICT: [&str; 3] = ["target", "measured", "outcome"];

/// All targets, each with the section that it belongs to.
pub(super) fn verdicts(sections: &[Section]) -> Table {
    let rows = sections
        .iter()
        .flat_map(|section| section.verdicts.iter().map(|verdict| [section.title.clone()].into_iter().chain(verdict.row()).collect()));
    Table { head: ["contest"].into_iter().chain(VERDICT).map(str::to_owned).collect(), rows: rows.collect() }
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

impl Plot {
    /// The title as the name of a file, without its ending.
    pub(super) fn file_name(&self) -> String {
        let spelled: String =
            self.title.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { ' ' }).collect();
        spelled.split_whitespace().collect::<Vec<_>>().join("-")
    }
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

/// The value that this many in a hundred do not exceed.
pub(super) fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}
