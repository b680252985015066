//! What was found of deletions of several sizes, as text and pictures.

use super::{Level, Outcome, Rival};
use crate::bench::neighbour::Waits;
use crate::bench::plot::figure;
use crate::bench::report::{Axis, Plot, Section, Table, Verdict, median, percentile, spread};

impl Outcome {
    pub(super) fn section(&self) -> Section {
        let mut notes = vec![
            "A drain's time is its record's: from the request to the completion. The plain deletions leave no record, no audit entry and no cursor \
             to go on from after a crash."
                .to_owned(),
            "The neighbour's time counts from when a request was due, so that a stand-still is not left out.".to_owned(),
        ];
        match self.engine {
            "SQLite" => {
                notes.push("Written are the bytes that the process has handed to the file system, log and pages together.".into());
                notes.push(format!("The write-ahead log was {:.0} MB at its largest.", self.largest_log));
                notes.push(
                    "Plain SQL has a file of its own, and its neighbour writes over the same connection, which is fair to all.".into(),
                );
            }
            _ => notes.push("Written is the write-ahead log.".into()),
        }
        Section {
            title: format!("Organizations of many rows on {}", self.engine),
            about: format!(
                "`DELETE /api/organizations/{{id}}` of customers with nine rows each. It is answered when the organization is closed for good; \
                 the drain erases the rest. \"CASCADE\" is `DELETE FROM organizations` in one transaction; \"batches\" delete 5,000 customers \
                 in each. All delete identical rows in the same rounds. The neighbour is another organization: 4 callers with 25 requests \
                 a second each, half of them durable writes, watched beside organizations of {} rows.",
                figure(self.beside.rows as f64)
            ),
            tables: vec![self.rates(), self.transactions(), self.neighbours()],
            plots: self.plots(),
            verdicts: self.verdicts(),
            notes,
        }
    }

    pub(super) fn rates(&self) -> Table {
        let head =
            ["rows", "answer, ms", "drain, rows/s", "µs a row", "CASCADE, rows/s", "batches, rows/s", "against CASCADE (min/median/max)"];
        let mut rows = vec![vec!["0".into(), format!("{:.1}", median(&self.empty))]];
        rows.iter_mut().for_each(|row| row.resize(head.len(), "–".to_owned()));
        rows.extend(self.levels.iter().map(|level| {
            vec![
                figure(level.rows as f64),
                format!("{:.1}", level.of_ours(|ours| ours.answer_millis)),
                format!("{:.0}", median(&level.rates())),
                format!("{:.1}", level.micros_a_row()),
                format!("{:.0}", median(&level.rival_rates(&level.cascade))),
                format!("{:.0}", median(&level.rival_rates(&level.batches))),
                spread(&level.ratios()),
            ]
        }));
        Table { head: head.map(Into::into).into(), rows }
    }

    pub(super) fn transactions(&self) -> Table {
        let head = ["rows", "transactions", "longest, ms", "CASCADE", "batches", "written, MB", "CASCADE", "batches"];
        let longest = |rivals: &[Rival]| rivals.iter().map(|rival| rival.plain.longest_millis).fold(0.0, f64::max);
        let written = |rivals: &[Rival]| median(&rivals.iter().map(|rival| rival.written).collect::<Vec<_>>());
        let rows = self.levels.iter().map(|level| {
            let ours = level.ours.iter().map(|ours| ours.longest_millis).fold(0.0, f64::max);
            let mut row = vec![figure(level.rows as f64), format!("{:.0}", level.of_ours(|ours| ours.transactions as f64))];
            row.extend([ours, longest(&level.cascade), longest(&level.batches)].map(|millis| format!("{millis:.0}")));
            let megabytes = [level.of_ours(|ours| ours.written), written(&level.cascade), written(&level.batches)];
            row.extend(megabytes.map(|megabytes| format!("{megabytes:.1}")));
            row
        });
        Table { head: head.map(Into::into).into(), rows: rows.collect() }
    }

    pub(super) fn neighbours(&self) -> Table {
        let beside = &self.beside;
        let rows = [
            ("before", &beside.before),
            ("during Freehold's drain", &beside.during),
            ("after", &beside.after),
            ("during CASCADE", &beside.cascade),
            ("during batches", &beside.batches),
        ];
        Table { head: Waits::head(), rows: rows.map(|(name, waits)| waits.row(name)).into() }
    }

    pub(super) fn plots(&self) -> Vec<Plot> {
        let axis = |label: &str, is_logarithmic| Axis { label: label.into(), is_logarithmic };
        let line = |name: &str, of: &dyn Fn(&Level) -> f64| {
            (name.to_owned(), self.levels.iter().map(|level| (level.rows as f64, of(level))).collect::<Vec<_>>())
        };
        let rates = vec![
            line("Freehold's drain", &|level| median(&level.rates())),
            line("CASCADE", &|level| median(&level.rival_rates(&level.cascade))),
            line("naive batches", &|level| median(&level.rival_rates(&level.batches))),
        ];
        let beside = &self.beside;
        let curves = [
            ("nothing is deleted", beside.idle()),
            ("Freehold's drain", beside.during.clone()),
            ("CASCADE", beside.cascade.clone()),
            ("naive batches", beside.batches.clone()),
        ];
        vec![
            Plot {
                title: format!("Rows erased a second on {}", self.engine),
                x: axis("rows of the organization", true),
                y: axis("rows a second", false),
                lines: rates,
            },
            Plot {
                title: format!("What a row costs on {}", self.engine),
                x: axis("rows of the organization", true),
                y: axis("microseconds a row", false),
                lines: vec![line("Freehold's drain", &Level::micros_a_row)],
            },
            Plot {
                title: format!("A neighbour's writes on {} while an organization goes", self.engine),
                x: axis("one write in so many waited longer than …", true),
                y: axis("… milliseconds", true),
                lines: curves.into_iter().map(|(name, waits)| (name.to_owned(), waits.curve())).collect(),
            },
        ]
    }

    pub(super) fn verdicts(&self) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        if let (Some(least), Some(most)) = (self.levels.first(), self.levels.last()) {
            let ratio = most.of_ours(|ours| ours.answer_millis) / median(&self.empty);
            verdicts.push(Verdict {
                target: format!("the answer for {} rows within 1.5 of that for an empty organization", figure(most.rows as f64)),
                measured: format!("{ratio:.2}"),
                is_reached: ratio <= 1.5,
            });
            let answers: Vec<f64> = self.levels.iter().flat_map(|level| &level.ours).map(|ours| ours.answer_millis).collect();
            let p99 = percentile(&[answers, self.empty.clone()].concat(), 99);
            verdicts.push(Verdict {
                target: "p99 of all these answers at most 50 ms".into(),
                measured: format!("{p99:.1} ms"),
                is_reached: p99 <= 50.0,
            });
            let growth = most.micros_a_row() / least.micros_a_row();
            verdicts.push(Verdict {
                target: format!("a row of {} costs at most 1.2 times one of {}", figure(most.rows as f64), figure(least.rows as f64)),
                measured: format!("{growth:.2}"),
                is_reached: growth <= 1.2,
            });
        }
        let ratios: Vec<f64> = self.levels.iter().filter(|level| level.rows >= 100_000).flat_map(Level::ratios).collect();
        if self.engine == "PostgreSQL" {
            verdicts.push(Verdict {
                target: "the drain at least 0.9 of CASCADE's rows a second, from 100,000 rows on".into(),
                measured: spread(&ratios),
                is_reached: median(&ratios) >= 0.9,
            });
        }
        let longest =
            self.levels.iter().flat_map(|level| &level.ours).map(|ours| ours.longest_millis).fold(self.beside.longest_millis, f64::max);
        verdicts.push(Verdict {
            target: "no transaction of a drain over 250 ms".into(),
            measured: format!("{longest:.0} ms"),
            is_reached: longest <= 250.0,
        });
        let [writes, reads] = self.beside.ratios();
        verdicts.push(Verdict {
            target: "the neighbour's p99 within 1.2 of what it is when nothing is deleted".into(),
            measured: format!("writes {writes:.2}, reads {reads:.2}"),
            is_reached: writes.max(reads) <= 1.2,
        });
        verdicts
    }
}
