//! The audit trail as those follow it who keep a copy: each entry once, also one whose transaction ends after those of later work.

use std::time::Duration;

use plane::audit;
use plane::ids::OrganizationRef;
use plane::page::PageRequest;
use uuid::Uuid;

use crate::on_both_engines;
use crate::stage::Stage;
use crate::world::new_customer;

on_both_engines! { each_entry_is_followed_once_and_none_is_left_out_that_comes_late }

/// Goes on from the last entry that is known to the newest that is shown.
async fn follow(stage: &Stage, organization: Uuid, known: &mut Vec<Uuid>) {
    loop {
        let part = audit::follow(&stage.now(), &OrganizationRef::Id(organization), known.last().copied(), 7).await.unwrap();
        if part.is_empty() {
            return;
        }
        assert!(part.len() <= 7);
        known.extend(part.iter().map(|entry| entry.id));
    }
}

async fn each_entry_is_followed_once_and_none_is_left_out_that_comes_late(stage: Stage) {
    let (organization, _) = stage.found("followed", 0).await;
    stage.plane.clock.advance(Duration::from_secs(1));
    // What began here is committed after all that follows.
    let slow = stage.now();
    let mut known = Vec::new();
    for number in 0..25 {
        stage.plane.clock.advance(Duration::from_secs(2));
        new_customer(&stage.now(), organization, &format!("customer-{number}")).await;
        follow(&stage, organization, &mut known).await;
    }
    let before = known.len();
    new_customer(&slow, organization, "late").await;
    stage.plane.clock.advance(audit::SETTLES_AFTER + Duration::from_secs(1));
    follow(&stage, organization, &mut known).await;
    let all = audit::list(&stage.now(), &OrganizationRef::Id(organization), PageRequest::new(1, 100)).await.unwrap();
    let mut wanted: Vec<Uuid> = all.entries.iter().map(|entry| entry.id).collect();
    wanted.reverse();
    assert_eq!((known.clone(), wanted.len()), (wanted, 27), "{before} were known before");
    assert!(before <= 1, "what may still be overtaken is not shown");
}
