//! The page that a whole run writes: `docs/performance.md` and its plots.

use std::fs;

use super::report::{Section, Table, Verdict, verdicts};
use super::server::words;
use crate::Result;
use crate::steps::workspace;

const BEGINNING: &str = "# Performance

Written by `cargo xtask bench`, which measures everything here anew: it installs what it measures with, starts every contestant on the
loopback address of one machine, lets them run in turns, and tells the ratios of the rounds as min/median/max. Ratios are worth more than
absolute figures: clients, servers and databases share the machine, and another machine has other figures. Nothing was picked: a page comes
from one whole run.

`cargo xtask bench --quick` takes a look in two minutes and `--only NAME` runs one contest; neither writes this page. `--full` adds the largest
sizes.
";

/// The last section of the page, which a run leaves as it is.
const KEPT: &str = "\n## Under attack\n";

/// Writes the page. What an earlier run drew is removed.
pub(super) fn write(surroundings: &Table, sections: &[Section]) -> Result {
    let plots = workspace().join("docs/performance");
    if plots.exists() {
        fs::remove_dir_all(&plots).map_err(words)?;
    }
    fs::create_dir(&plots).map_err(words)?;
    for plot in sections.iter().flat_map(|section| &section.plots) {
        fs::write(plots.join(format!("{}.svg", plot.file_name())), plot.svg()).map_err(words)?;
    }
    let file = workspace().join("docs/performance.md");
    // Measured by hand, and not by this run.
    let before = fs::read_to_string(&file).unwrap_or_default();
    let kept = before.find(KEPT).map_or("", |place| &before[place..]);
    fs::write(&file, text(surroundings, sections) + kept).map_err(words)?;
    println!("written: {}", file.display());
    Ok(())
}

fn text(surroundings: &Table, sections: &[Section]) -> String {
    let all: Vec<&Verdict> = sections.iter().flat_map(|section| &section.verdicts).collect();
    let reached = all.iter().filter(|verdict| verdict.is_reached).count();
    let mut text = format!("{BEGINNING}\n## Measured on\n\n{}", surroundings.markdown());
    text += &format!("\n## Targets\n\n{reached} of {} reached.\n\n{}", all.len(), verdicts(sections).markdown());
    for section in sections {
        text += &format!("\n{}", section.markdown(Some("performance")));
    }
    text
}
