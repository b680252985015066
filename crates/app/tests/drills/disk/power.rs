//! The power fails: at moments of a busy server, of its start and of its stop, all is lost that no sync has kept, or a part of that by chance. The
//! next start makes of it what was answered.

use tempfile::TempDir;

use super::load::{Known, Load};
use super::{Disk, Rest};
use crate::chance::Chance;
use crate::on_both_engines;
use crate::support::{Engine, Organization, Server, StandardError, make_database, make_folder, make_key};

/// Tokens are of an address, and the port is another after each start.
const PUBLIC_URL: &str = "--public-url=http://localhost:3001";
const RESTS: [Rest; 3] = [Rest::Lost, Rest::ByChance, Rest::Kept];
/// Moments that are looked at of each server of the embedded engine. PostgreSQL is not on this disk, and stays as it was at the end.
const MOMENTS: usize = 6;

/// How many servers are begun; more with the variable, as `cargo xtask faults` sets it.
fn rounds() -> usize {
    std::env::var("FREEHOLD_TEST_POWER_FAILURES").map_or(3, |number| number.parse().unwrap())
}

on_both_engines! {
    async fn what_was_answered_outlives_a_power_failure_at_any_moment(engine: Engine) {
        let database_url = match engine {
            Engine::Sqlite => None,
            Engine::Postgresql => Some(make_database().await),
        };
        let mut folder = tempfile::tempdir().unwrap();
        make_folder(&folder.path().join("data"));
        if engine == Engine::Postgresql {
            make_key(&folder.path().join("data"));
        }
        let start = async |folder: TempDir, environment| {
            Server::start_in(folder, engine, &[PUBLIC_URL], database_url.clone(), StandardError::Kept, environment).await
        };
        // What a replay asks for depends on the journal: it takes no chance from the choice of moments.
        let (mut chance, mut pieces) = (Chance::new(17), Chance::new(19));
        let (mut known, mut organization) = (Known::default(), None::<Organization>);
        let (mut failures, mut syncs, mut answered) = (0, 0, 0);
        for round in 0..rounds() {
            let disk = Disk::new(&folder.path().join("data"), "disk");
            let mut server = start(folder, disk.environment()).await;
            let place = match &organization {
                Some(known) => known.clone(),
                None => server.new_organization().await,
            };
            let token = server.sign_in(&place.owner.email, None).await;
            let begun = disk.history().moments();
            let mut load = Load::begin(&server, &place, &token, &disk, &round.to_string());
            load.wait(chance.number(50..=300)).await;
            // Now and then it comes to its end by itself.
            if chance.number(0..=3) == 0 {
                answered += load.end().await.done.load(std::sync::atomic::Ordering::Relaxed);
                server.stop().await;
            } else {
                server.kill().await;
                answered += load.end().await.done.load(std::sync::atomic::Ordering::Relaxed);
            }
            server.note_altered();
            let history = disk.history();
            syncs += history.syncs();
            let moments = if engine == Engine::Sqlite { MOMENTS } else { 0 };
            for number in 0..=moments {
                // The first is one of the start, the last is the end.
                let moment = match number {
                    _ if number == moments => history.moments(),
                    0 => usize::try_from(chance.number(0..=begun as u64)).unwrap(),
                    _ => usize::try_from(chance.number(begun as u64..=history.moments() as u64)).unwrap(),
                };
                // What was answered at the end is kept without any of the rest.
                let rest = match number == moments {
                    true => Rest::Lost,
                    false => RESTS[usize::try_from(chance.number(0..=2)).unwrap()],
                };
                println!("{engine:?}: round {round}: after {moment} of {} records, the rest {rest:?}", history.moments());
                let left = tempfile::tempdir().unwrap();
                history.replay(moment, rest, &mut pieces, &left.path().join("data"));
                failures += 1;
                let then = known.and(history.told(moment));
                if organization.is_none() && moment < begun {
                    drop(start(left, Vec::new()).await);
                } else {
                    let server = start(left, Vec::new()).await;
                    then.check(&server, &place).await;
                }
            }
            known = known.and(history.told(history.moments()));
            let left = tempfile::tempdir().unwrap();
            history.replay(history.moments(), Rest::ByChance, &mut pieces, &left.path().join("data"));
            (folder, organization) = (left, Some(place));
        }
        let (gone, there) = known.counts();
        println!(
            "{engine:?}: {failures} power failures of {} servers after {answered} answers and {syncs} syncs: of {gone} deletions that were answered \
             none is undone, of {there} that must be there none is lost",
            rounds()
        );
        assert!(gone > 0 && there > 0 && syncs > 0);
    }
}
