//! Deletions tell webhooks, and the queues that do it: nothing is completed before it was told, nothing is lost, no webhook is starved.

use std::time::Duration;

use plane::Error;
use plane::customers::{self, CustomerChange, Deleting};
use plane::deletions::{Deletion, Details};
use plane::deliveries::{self, Delivery, Resend};
use plane::ids::OrganizationRef;
use plane::members;
use plane::organizations;
use plane::outbox::{self, Attempt, Carried, Due, FAILING_FOR, Kind, LONGEST_RETRY, PATIENCE, RETRIED_FOR, RETRIES, UnderWay};
use plane::page::PageRequest;
use plane::webhooks::{self, WebhookChange};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::on_both_engines;
use crate::stage::Stage;
use crate::world::{deliver, new_customer};

on_both_engines! {
    a_customer_is_erased_at_once_and_completed_when_everybody_was_told
    an_endpoint_that_refuses_everything_holds_the_completion_for_an_hour_and_is_told_all_the_same
    a_delivery_is_given_up_after_three_days_and_can_be_sent_again
    events_about_one_customer_are_told_in_order_until_one_has_failed_four_times
    a_pause_that_a_receiver_asks_for_is_heeded_up_to_six_hours
    a_webhook_that_takes_nothing_for_five_days_is_switched_off_and_the_others_hear_of_it
    a_hundred_deliveries_that_wait_for_others_hold_up_nothing_else
    an_organization_has_eight_places_and_those_who_wait_come_first
    what_a_deletion_waits_for_takes_along_what_comes_before_it
    what_a_receipt_counts_is_what_became_of_each
    what_an_earlier_deletion_said_of_a_customer_goes_with_the_customer
    an_organization_keeps_its_webhooks_until_they_were_told_and_then_nothing_is_left
    what_else_waits_in_the_queues_of_a_deleted_organization_is_not_sent
    a_deletion_without_webhooks_is_completed_at_once
    a_deletion_waits_for_no_webhook_that_is_deleted_itself
    a_deletion_that_is_refused_says_so_once
    a_delivery_is_carried_by_one_courier_until_its_lease_is_over
    a_long_queue_starves_neither_others_nor_what_a_deletion_waits_for
    a_webhook_that_is_switched_off_gets_nothing_and_holds_nothing_up
    a_history_is_cut_to_a_hundred_and_what_waits_is_not_history
}

async fn a_customer_is_erased_at_once_and_completed_when_everybody_was_told(stage: Stage) {
    let (organization, hooks) = stage.found("told", 2).await;
    new_customer(&stage.now(), organization, "user123").await;
    deliver(&stage.plane, 200).await;
    let deletion = stage.delete_customer(organization, "user123").await;
    assert_eq!(deletion.state.name(), "closed");
    assert_eq!(deletion.subject_label, None);
    assert_eq!(stage.count("customers", organization).await, 0, "the rows go at once");
    assert_eq!(stage.history(organization, hooks[0], "customer.created").await.len(), 0, "and what spoke of the customer");
    stage.drain().await;
    let waiting = stage.record(&deletion).await;
    assert_eq!((waiting.state.name(), waiting.waiting_for.as_deref()), ("draining", Some("4 webhook deliveries")));
    let told = &stage.history(organization, hooks[0], "customer.deleted").await[0];
    let payload: Json = serde_json::from_str(told.payload.as_deref().unwrap()).unwrap();
    let data = json!({"organizationId": organization, "id": "user123", "permanent": true, "deletionId": deletion.id});
    assert_eq!((&payload["type"], &payload["data"]), (&json!("customer.deleted"), &data));
    assert_eq!(deliver(&stage.plane, 200).await, 4);
    stage.drain().await;
    let completed = stage.record(&deletion).await;
    assert_eq!((completed.state.name(), completed.waiting_for), ("completed", None));
    assert_eq!(completed.effects, json!({"webhooks": {"delivered": 4, "failed": 0}}));
    assert_eq!(completed.counts, deletion.counts);
    for event in ["customer.deleted", "deletion.started"] {
        let told = &stage.history(organization, hooks[0], event).await[0];
        assert_eq!((told.state.name(), &told.payload), ("delivered", &None), "{event}");
    }
    assert_eq!(stage.history(organization, hooks[1], "deletion.completed").await.len(), 1);
}

async fn an_endpoint_that_refuses_everything_holds_the_completion_for_an_hour_and_is_told_all_the_same(stage: Stage) {
    let (organization, hooks) = stage.found("refusing", 1).await;
    new_customer(&stage.now(), organization, "user123").await;
    deliver(&stage.plane, 200).await;
    let deletion = stage.delete_customer(organization, "user123").await;
    let mut waited = Duration::ZERO;
    for pause in RETRIES {
        if waited + pause >= stage.plane.config.completion_wait {
            break;
        }
        assert!(deliver(&stage.plane, 500).await > 0, "after {waited:?}");
        assert_eq!(deliver(&stage.plane, 500).await, 0, "not before its time");
        stage.drain().await;
        assert_eq!(stage.record(&deletion).await.state.name(), "draining");
        stage.plane.clock.advance(pause);
        waited += pause;
    }
    stage.plane.clock.advance(stage.plane.config.completion_wait - waited);
    stage.drain().await;
    let completed = stage.record(&deletion).await;
    let effects = json!({"webhooks": {"delivered": 0, "failed": 0, "pending": 2}});
    assert_eq!((completed.state.name(), completed.effects), ("completed", effects));
    let waiting = &stage.history(organization, hooks[0], "customer.deleted").await[0];
    assert_eq!((waiting.state.name(), waiting.response_status, waiting.error.as_deref()), ("pending", Some(500), Some("refused")));
    // What is said is ids alone, and its receiver is told when it is there again.
    stage.plane.clock.advance(RETRIES[10]);
    assert_eq!(deliver(&stage.plane, 200).await, 3, "those two, and that it is completed");
    let told = &stage.history(organization, hooks[0], "customer.deleted").await[0];
    assert_eq!((told.state.name(), &told.payload), ("delivered", &None));
    assert_eq!(stage.record(&deletion).await.effects, json!({"webhooks": {"delivered": 2, "failed": 0}}));
}

async fn a_delivery_is_given_up_after_three_days_and_can_be_sent_again(stage: Stage) {
    let (organization, hooks) = stage.found("lost", 1).await;
    deliver(&stage.plane, 200).await;
    new_customer(&stage.now(), organization, "user123").await;
    let mut attempts = 0;
    let given_up = loop {
        attempts += deliver(&stage.plane, 500).await;
        let told = stage.history(organization, hooks[0], "customer.created").await.remove(0);
        match told.next_attempt_at {
            Some(next) => stage.plane.clock.advance(Duration::try_from(next.duration_since(stage.plane.clock.now())).unwrap()),
            None => break told,
        }
    };
    assert_eq!((given_up.state.name(), given_up.attempts, attempts), ("failed", i64::try_from(attempts).unwrap(), attempts));
    let tried_for = Duration::try_from(given_up.finished_at.unwrap().duration_since(given_up.created_at)).unwrap();
    assert!((RETRIED_FOR..RETRIED_FOR + Duration::from_secs(60)).contains(&tried_for), "{tried_for:?}");
    assert!((23..=26).contains(&attempts), "{attempts} attempts");
    let (owner, organization_ref) = (stage.now(), OrganizationRef::Id(organization));
    let again = deliveries::resend_all(&owner, &organization_ref, hooks[0], Resend::default()).await.unwrap();
    assert_eq!(again.count, 1);
    assert_eq!(deliveries::resend_all(&owner, &organization_ref, hooks[0], Resend::default()).await.unwrap().count, 0);
    assert_eq!(deliver(&stage.plane, 200).await, 1);
    let told = stage.history(organization, hooks[0], "customer.created").await.remove(0);
    assert_eq!((told.state.name(), told.id, told.sequence), ("delivered", given_up.id, given_up.sequence));
    // One that is delivered can be sent again, too; one that waits can be given up, and no other.
    deliveries::resend(&owner, &organization_ref, hooks[0], told.id).await.unwrap();
    let ended = deliveries::give_up(&owner, &organization_ref, hooks[0], told.id).await.unwrap();
    assert_eq!((ended.state.name(), ended.error.as_deref()), ("failed", Some("given up by a member")));
    assert!(matches!(deliveries::give_up(&owner, &organization_ref, hooks[0], told.id).await, Err(Error::Conflict(_))));
}

async fn events_about_one_customer_are_told_in_order_until_one_has_failed_four_times(stage: Stage) {
    let (organization, hooks) = stage.found("ordered", 1).await;
    deliver(&stage.plane, 200).await;
    for customer in ["first", "second"] {
        new_customer(&stage.now(), organization, customer).await;
    }
    let rename: CustomerChange = serde_json::from_value(json!({"name": "Grace"})).unwrap();
    customers::update(&stage.now(), &OrganizationRef::Id(organization), "first", rename).await.unwrap();
    let due = stage.take().await;
    assert_eq!(due.iter().map(type_of).collect::<Vec<_>>(), ["customer.created", "customer.created"], "one of each customer");
    let refused = || Attempt { status: Some(500), error: Some("refused"), ..Attempt::default() };
    for (place, due) in due.into_iter().enumerate() {
        let attempt = if place == 0 { refused() } else { Attempt { status: Some(204), ..Attempt::default() } };
        outbox::finish(&stage.plane, due, attempt).await.unwrap();
    }
    for pause in &RETRIES[..3] {
        assert!(stage.take().await.is_empty());
        stage.plane.clock.advance(*pause);
        let due = stage.take().await.remove(0);
        assert_eq!(type_of(&due), "customer.created");
        outbox::finish(&stage.plane, due, refused()).await.unwrap();
    }
    let overtaking = stage.take().await;
    assert_eq!(overtaking.iter().map(type_of).collect::<Vec<_>>(), ["customer.updated"], "it failed four times");
    let sequence = |due: &Due| serde_json::from_str::<Json>(&due.payload).unwrap()["sequence"].as_i64().unwrap();
    let earlier = stage.history(organization, hooks[0], "customer.created").await;
    assert!(earlier.iter().all(|told| told.sequence < sequence(&overtaking[0])), "and says that it is the later one");
}

async fn a_pause_that_a_receiver_asks_for_is_heeded_up_to_six_hours(stage: Stage) {
    let (organization, hooks) = stage.found("busy", 1).await;
    let asked = [(Duration::from_secs(90), Duration::from_secs(90)), (Duration::from_hours(100), LONGEST_RETRY)];
    for (asked, heeded) in asked {
        let due = stage.take().await.remove(0);
        let refused = Attempt {
            status: Some(429),
            error: Some("refused"),
            retry_after: Some(asked),
            body: Some("later".into()),
            ..Attempt::default()
        };
        outbox::finish(&stage.plane, due, refused).await.unwrap();
        let told = stage.history(organization, hooks[0], "webhook.created").await.remove(0);
        // The clock goes on meanwhile.
        let pause = Duration::try_from(told.next_attempt_at.unwrap().duration_since(stage.plane.clock.now())).unwrap();
        assert!((heeded - Duration::from_secs(60)..=heeded).contains(&pause), "{pause:?}");
        assert_eq!(told.response_body.as_deref(), Some("later"));
        stage.plane.clock.advance(heeded);
    }
}

async fn a_webhook_that_takes_nothing_for_five_days_is_switched_off_and_the_others_hear_of_it(stage: Stage) {
    let (organization, hooks) = stage.found("dead", 2).await;
    let organization_ref = OrganizationRef::Id(organization);
    let fail = async || {
        let due = stage.take().await;
        for due in due {
            let error = (due.queue == hooks[0]).then_some("refused");
            outbox::finish(&stage.plane, due, Attempt { status: None, error, ..Attempt::default() }).await.unwrap();
        }
    };
    fail().await;
    let failing = webhooks::get(&stage.now(), &organization_ref, hooks[0]).await.unwrap();
    assert!(failing.failing_since.is_some() && failing.is_active);
    for pause in &RETRIES[..3] {
        stage.plane.clock.advance(*pause);
        fail().await;
    }
    // One place is left to it.
    for number in 0..4 {
        new_customer(&stage.now(), organization, &format!("user{number}")).await;
    }
    let due = stage.take().await;
    let of = |hook| due.iter().filter(|due| due.queue == hook).count();
    assert_eq!((of(hooks[0]), of(hooks[1])), (1, 2));
    stage.plane.clock.advance(FAILING_FOR);
    new_customer(&stage.now(), organization, "late").await;
    for pause in &RETRIES[..4] {
        assert!(webhooks::get(&stage.now(), &organization_ref, hooks[0]).await.unwrap().is_active, "one failure is none of five days");
        for _ in 0..12 {
            fail().await;
        }
        stage.plane.clock.advance(*pause);
    }
    assert!(!webhooks::get(&stage.now(), &organization_ref, hooks[0]).await.unwrap().is_active);
    assert_eq!(stage.history(organization, hooks[1], "webhook.disabled").await.len(), 1);
    assert_eq!(stage.history(organization, hooks[0], "webhook.disabled").await.len(), 0);
    stage.change(organization, hooks[0], WebhookChange { is_active: Some(true), ..WebhookChange::default() }).await;
    assert_eq!(webhooks::get(&stage.now(), &organization_ref, hooks[0]).await.unwrap().failing_since, None);
}

async fn a_hundred_deliveries_that_wait_for_others_hold_up_nothing_else(stage: Stage) {
    let (organization, hooks) = stage.found("held", 1).await;
    deliver(&stage.plane, 200).await;
    for number in 0..100 {
        new_customer(&stage.now(), organization, &format!("user{number}")).await;
    }
    let created = stage.history(organization, hooks[0], "customer.created").await;
    for delivery in &created {
        deliveries::give_up(&stage.now(), &OrganizationRef::Id(organization), hooks[0], delivery.id).await.unwrap();
    }
    for number in 0..100 {
        let rename: CustomerChange = serde_json::from_value(json!({"name": "Grace"})).unwrap();
        customers::update(&stage.now(), &OrganizationRef::Id(organization), &format!("user{number}"), rename).await.unwrap();
    }
    // Those that were given up are due after all that wait for them now.
    let again = deliveries::resend_all(&stage.now(), &OrganizationRef::Id(organization), hooks[0], Resend::default()).await.unwrap();
    assert_eq!(again.count, 100);
    let mut told = 0;
    for _ in 0..10 {
        told += deliver(&stage.plane, 200).await;
        stage.plane.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(told, 200);
}

async fn an_organization_has_eight_places_and_those_who_wait_come_first(stage: Stage) {
    let (many, _) = stage.found("many", 12).await;
    let (few, hooks) = stage.found("few", 1).await;
    let due = stage.take().await;
    let of = |organization| due.iter().filter(|due| due.organization == organization).count();
    assert_eq!((of(many), of(few)), (8, 1));
    // With one of its deliveries under way, a webhook comes after those that have none.
    new_customer(&stage.now(), few, "user123").await;
    let carried = |number| Carried { organization: few, kind: Kind::Webhook, number, is_failing: false };
    let taken = outbox::take(&stage.plane, &UnderWay([(hooks[0], carried(1))].into())).await.unwrap();
    assert_eq!(taken.due.iter().map(|due| due.organization == few).next_back(), Some(true));
}

async fn what_a_deletion_waits_for_takes_along_what_comes_before_it(stage: Stage) {
    let (organization, hooks) = stage.found("backlog", 1).await;
    deliver(&stage.plane, 200).await;
    for number in 0..80 {
        new_customer(&stage.now(), organization, &format!("user{number}")).await;
    }
    // What is told of a softly deleted customer before stays, and comes first.
    let organization_ref = OrganizationRef::Id(organization);
    customers::delete(&stage.now(), &organization_ref, "user79", Deleting::Softly, Details::default()).await.unwrap();
    let mut told = Vec::new();
    for _ in 0..4 {
        for due in stage.take().await {
            told.push(type_of(&due));
            outbox::finish(&stage.plane, due, Attempt { status: Some(204), ..Attempt::default() }).await.unwrap();
        }
        stage.plane.clock.advance(Duration::from_secs(1));
    }
    assert!(told.contains(&"customer.deleted".to_owned()) && told.len() < 10, "{told:?}");
    assert_eq!(stage.history(organization, hooks[0], "customer.deleted").await[0].state.name(), "delivered");
}

async fn what_a_receipt_counts_is_what_became_of_each(stage: Stage) {
    let (organization, hooks) = stage.found("counted", 2).await;
    let organization_ref = OrganizationRef::Id(organization);
    deliver(&stage.plane, 200).await;
    new_customer(&stage.now(), organization, "user123").await;
    deliver(&stage.plane, 200).await;
    let deletion = stage.delete_customer(organization, "user123").await;
    // One webhook takes both events, the other none.
    for _ in 0..4 {
        for due in stage.take().await {
            let error = (due.queue == hooks[0]).then_some("refused");
            let attempt = Attempt { status: None, error, body: Some("Ada Lovelace".into()), ..Attempt::default() };
            outbox::finish(&stage.plane, due, attempt).await.unwrap();
        }
    }
    assert_eq!(stage.history(organization, hooks[0], "customer.deleted").await[0].response_body.as_deref(), Some("Ada Lovelace"));
    assert_eq!(stage.history(organization, hooks[1], "customer.deleted").await[0].response_body, None, "what took it said nothing to keep");
    stage.plane.clock.advance(stage.plane.config.completion_wait);
    stage.drain().await;
    let counts = async || stage.record(&deletion).await.effects["webhooks"].clone();
    assert_eq!(counts().await, json!({"delivered": 2, "failed": 0, "pending": 2}));
    let first = stage.history(organization, hooks[0], "customer.deleted").await.remove(0);
    assert_eq!(first.response_body, None);
    // The history of the one that took them is cut, and the receipt still knows.
    for number in 0..110 {
        new_customer(&stage.now(), organization, &format!("user{number}")).await;
        for due in stage.take().await {
            if due.queue == hooks[1] {
                outbox::finish(&stage.plane, due, Attempt::default()).await.unwrap();
            }
        }
    }
    let ended = deliveries::give_up(&stage.now(), &organization_ref, hooks[0], first.id).await.unwrap();
    assert_eq!((ended.state.name(), counts().await), ("failed", json!({"delivered": 2, "failed": 1, "pending": 1})));
    deliveries::resend(&stage.now(), &organization_ref, hooks[0], first.id).await.unwrap();
    assert_eq!(counts().await, json!({"delivered": 2, "failed": 0, "pending": 2}));
    for _ in 0..10 {
        stage.plane.clock.advance(LONGEST_RETRY);
        deliver(&stage.plane, 200).await;
    }
    assert_eq!(counts().await, json!({"delivered": 4, "failed": 0}));
}

async fn what_an_earlier_deletion_said_of_a_customer_goes_with_the_customer(stage: Stage) {
    let (organization, hooks) = stage.found("twice", 1).await;
    deliver(&stage.plane, 200).await;
    new_customer(&stage.now(), organization, "ada@example.com").await;
    deliver(&stage.plane, 200).await;
    let organization_ref = OrganizationRef::Id(organization);
    customers::delete(&stage.now(), &organization_ref, "ada@example.com", Deleting::Softly, Details::default()).await.unwrap();
    deliver(&stage.plane, 500).await;
    stage.plane.clock.advance(stage.plane.config.completion_wait);
    stage.drain().await;
    let told = async || {
        let all = stage.history(organization, hooks[0], "customer.deleted").await;
        all.into_iter().filter_map(|delivery| delivery.payload).filter(|payload| payload.contains("ada@example.com")).count()
    };
    assert_eq!(told().await, 1, "it can be sent again");
    customers::delete(&stage.now(), &organization_ref, "ada@example.com", Deleting::Hard, Details::default()).await.unwrap();
    stage.plane.clock.advance(LONGEST_RETRY);
    deliver(&stage.plane, 200).await;
    stage.drain().await;
    deliver(&stage.plane, 200).await;
    assert_eq!(told().await, 0);
}

async fn an_organization_keeps_its_webhooks_until_they_were_told_and_then_nothing_is_left(stage: Stage) {
    let (organization, _) = stage.found("ending", 1).await;
    new_customer(&stage.now(), organization, "user123").await;
    deliver(&stage.plane, 200).await;
    let deletion = organizations::delete(&stage.owner, &OrganizationRef::Id(organization), Details::default()).await.unwrap();
    assert_eq!(deletion.state.name(), "closed");
    stage.drain().await;
    assert_eq!(stage.record(&deletion).await.waiting_for.as_deref(), Some("2 webhook deliveries"));
    assert_eq!((stage.count("customers", organization).await, stage.count("webhooks", organization).await), (0, 1));
    // One is delivered, and one refused until the deletion waits no longer.
    let due = stage.take().await.remove(0);
    assert_eq!(due.undeliverable, None);
    outbox::finish(&stage.plane, due, Attempt { status: Some(204), ..Attempt::default() }).await.unwrap();
    deliver(&stage.plane, 500).await;
    stage.drain().await;
    assert_eq!(stage.record(&deletion).await.waiting_for.as_deref(), Some("1 webhook deliveries"));
    stage.plane.clock.advance(stage.plane.config.completion_wait);
    stage.drain().await;
    let completed = stage.record(&deletion).await;
    assert_eq!((completed.state.name(), completed.effects), ("completed", json!({"webhooks": {"delivered": 1, "failed": 1}})));
    for table in ["webhooks", "effects", "members"] {
        assert_eq!(stage.count(table, organization).await, 0, "{table}");
    }
}

async fn what_else_waits_in_the_queues_of_a_deleted_organization_is_not_sent(stage: Stage) {
    let (organization, _) = stage.found("closing", 1).await;
    new_customer(&stage.now(), organization, "user123").await;
    organizations::delete(&stage.owner, &OrganizationRef::Id(organization), Details::default()).await.unwrap();
    let mut sent = Vec::new();
    loop {
        let due = stage.take().await;
        if due.is_empty() {
            break;
        }
        assert!(!sent.is_empty() || type_of(&due[0]) == "organization.deleted", "what the deletion waits for comes first");
        for due in due {
            sent.extend(due.undeliverable.is_none().then(|| type_of(&due)));
            let error = due.undeliverable;
            outbox::finish(&stage.plane, due, Attempt { error, ..Attempt::default() }).await.unwrap();
        }
    }
    assert_eq!(sent, ["organization.deleted", "deletion.started"]);
}

async fn a_deletion_without_webhooks_is_completed_at_once(stage: Stage) {
    let (organization, _) = stage.found("quiet", 0).await;
    new_customer(&stage.now(), organization, "user123").await;
    let deletion = stage.delete_customer(organization, "user123").await;
    assert_eq!((deletion.state.name(), deletion.effects), ("completed", json!({})));
    let deletion = organizations::delete(&stage.owner, &OrganizationRef::Id(organization), Details::default()).await.unwrap();
    assert_eq!(deletion.state.name(), "completed");
    // And one that listens to other things alone holds up nothing.
    let (organization, hooks) = stage.found("elsewhere", 1).await;
    stage
        .change(organization, hooks[0], WebhookChange { events: Some(vec!["deletion.completed".into()]), ..WebhookChange::default() })
        .await;
    new_customer(&stage.now(), organization, "user123").await;
    assert_eq!(stage.delete_customer(organization, "user123").await.state.name(), "completed");
    assert_eq!(stage.history(organization, hooks[0], "deletion.completed").await.len(), 1);
}

async fn a_deletion_waits_for_no_webhook_that_is_deleted_itself(stage: Stage) {
    let (organization, hooks) = stage.found("leaving", 2).await;
    new_customer(&stage.now(), organization, "user123").await;
    deliver(&stage.plane, 200).await;
    let deletion = stage.delete_customer(organization, "user123").await;
    let leaving = webhooks::delete(&stage.owner, &OrganizationRef::Id(organization), hooks[0], None).await.unwrap();
    assert_eq!(leaving.state.name(), "closed", "the other webhook is told of it");
    assert!(matches!(webhooks::get(&stage.owner, &OrganizationRef::Id(organization), hooks[0]).await, Err(Error::NotFound("Webhook"))));
    assert_eq!(stage.count("webhooks", organization).await, 1);
    assert_eq!(deliver(&stage.plane, 200).await, 3, "two of the customer's deletion and one of the webhook's");
    stage.drain().await;
    assert_eq!(stage.record(&deletion).await.effects, json!({"webhooks": {"delivered": 2, "failed": 0}}));
    let last = webhooks::delete(&stage.owner, &OrganizationRef::Id(organization), hooks[1], None).await.unwrap();
    assert_eq!((last.state.name(), stage.count("effects", organization).await), ("completed", 0), "no webhook is left to be told");
}

async fn a_deletion_that_is_refused_says_so_once(stage: Stage) {
    let (organization, hooks) = stage.found("blocked", 1).await;
    let members =
        members::list(&stage.owner, &OrganizationRef::Id(organization), &members::MemberFilter::default(), PageRequest::new(1, 1))
            .await
            .unwrap();
    let member = members.entries[0].id;
    let refused = members::remove(&stage.owner, &OrganizationRef::Id(organization), member, None).await;
    assert!(matches!(refused, Err(Error::Blocked(_))));
    let told = stage.history(organization, hooks[0], "deletion.blocked").await;
    let payload: Json = serde_json::from_str(told[0].payload.as_deref().unwrap()).unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(payload["data"]["blockers"], json!([{"code": "last_owner", "kind": "member", "id": member}]));
    assert_eq!((&payload["data"]["kind"], &payload["data"]["subjectId"]), (&json!("member"), &json!(member)));
    assert_eq!(stage.history(organization, hooks[0], "deletion.started").await.len(), 0);
}

async fn a_delivery_is_carried_by_one_courier_until_its_lease_is_over(stage: Stage) {
    let (organization, hooks) = stage.found("contested", 1).await;
    deliver(&stage.plane, 200).await;
    new_customer(&stage.now(), organization, "user123").await;
    let all: Vec<_> = (0..8).map(|_| tokio::spawn(take(stage.plane.clone()))).collect();
    let mut due = Vec::new();
    for taken in all {
        due.extend(taken.await.unwrap());
    }
    assert_eq!(due.len(), 1, "one of eight couriers has it");
    let lease = PATIENCE + stage.plane.config.lease;
    stage.plane.clock.advance(lease - Duration::from_secs(1));
    assert_eq!(stage.take().await.len(), 0);
    stage.plane.clock.advance(Duration::from_secs(1));
    let again = stage.take().await;
    assert_eq!((again.len(), again[0].id), (1, due[0].id), "the first sender is taken for dead");
    outbox::finish(&stage.plane, again[0].clone(), Attempt { status: Some(204), ..Attempt::default() }).await.unwrap();
    // The first one was only slow, and what it says now changes nothing.
    outbox::finish(&stage.plane, due[0].clone(), Attempt { status: Some(500), error: Some("refused"), ..Attempt::default() })
        .await
        .unwrap();
    let told = &stage.history(organization, hooks[0], "customer.created").await[0];
    assert_eq!((told.state.name(), told.attempts, told.response_status), ("delivered", 1, Some(204)));
}

async fn a_long_queue_starves_neither_others_nor_what_a_deletion_waits_for(stage: Stage) {
    let (loud, _) = stage.found("loud", 1).await;
    let (quiet, _) = stage.found("quiet", 1).await;
    deliver(&stage.plane, 200).await;
    for number in 0..30 {
        new_customer(&stage.now(), loud, &format!("user{number}")).await;
    }
    new_customer(&stage.now(), quiet, "user123").await;
    let due = stage.take().await;
    let of = |organization| due.iter().filter(|due| due.organization == organization).count();
    assert_eq!((of(loud), of(quiet)), (2, 1));
    let carried = |due: &Due| (due.queue, Carried { organization: loud, kind: Kind::Webhook, number: 2, is_failing: false });
    let under_way = UnderWay(due.iter().filter(|due| due.organization == loud).map(carried).collect());
    let taken = outbox::take(&stage.plane, &under_way).await.unwrap();
    assert_eq!(taken.due.len(), 0, "the loud one has its share");
    stage.delete_customer(loud, "user29").await;
    let next: Vec<_> = stage.take().await.iter().map(type_of).collect();
    assert_eq!(next, ["customer.deleted", "customer.created"], "and what follows it waits for it");
}

async fn a_webhook_that_is_switched_off_gets_nothing_and_holds_nothing_up(stage: Stage) {
    let (organization, hooks) = stage.found("off", 1).await;
    new_customer(&stage.now(), organization, "user123").await;
    deliver(&stage.plane, 200).await;
    let deletion = stage.delete_customer(organization, "user123").await;
    stage.change(organization, hooks[0], WebhookChange { is_active: Some(false), ..WebhookChange::default() }).await;
    new_customer(&stage.now(), organization, "user456").await;
    assert_eq!(stage.history(organization, hooks[0], "customer.created").await.len(), 0, "nothing is put into its queue");
    assert_eq!(deliver(&stage.plane, 200).await, 2);
    let told = &stage.history(organization, hooks[0], "customer.deleted").await[0];
    assert_eq!((told.state.name(), told.attempts, told.error.as_deref()), ("failed", 0, Some("the webhook is switched off")));
    stage.drain().await;
    assert_eq!(stage.record(&deletion).await.state.name(), "completed");
}

async fn a_history_is_cut_to_a_hundred_and_what_waits_is_not_history(stage: Stage) {
    let (organization, hooks) = stage.found("long", 1).await;
    for number in 0..120 {
        new_customer(&stage.now(), organization, &format!("user{number}")).await;
    }
    assert_eq!(stage.count("effects", organization).await, 121);
    deliver(&stage.plane, 200).await;
    assert_eq!(stage.count("effects", organization).await, 100);
    for number in 120..130 {
        new_customer(&stage.now(), organization, &format!("user{number}")).await;
    }
    assert_eq!(stage.count("effects", organization).await, 110);
    assert_eq!(stage.history(organization, hooks[0], "webhook.created").await.len(), 0, "the oldest goes first");
}

async fn take(plane: std::sync::Arc<plane::Plane>) -> Vec<Due> {
    outbox::take(&plane, &UnderWay::default()).await.unwrap().due
}

fn type_of(due: &Due) -> String {
    let payload: Json = serde_json::from_str(&due.payload).unwrap();
    payload["type"].as_str().unwrap().to_owned()
}

impl Stage {
    async fn delete_customer(&self, organization: Uuid, reference: &str) -> Deletion {
        customers::delete(&self.now(), &OrganizationRef::Id(organization), reference, Deleting::Permanently, Details::default())
            .await
            .unwrap()
    }

    async fn change(&self, organization: Uuid, webhook: Uuid, change: WebhookChange) {
        webhooks::update(&self.now(), &OrganizationRef::Id(organization), webhook, change).await.unwrap();
    }

    async fn take(&self) -> Vec<Due> {
        take(self.plane.clone()).await
    }

    pub(crate) async fn history(&self, organization: Uuid, webhook: Uuid, event: &str) -> Vec<Delivery> {
        let all = PageRequest::new(1, 1_000);
        let list = deliveries::list(&self.owner, &OrganizationRef::Id(organization), webhook, all).await.unwrap();
        list.entries.into_iter().filter(|delivery| delivery.event == event).collect()
    }
}
