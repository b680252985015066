//! Deletions tell webhooks, and the queues that do it: nothing is completed before it was told, nothing is lost, no webhook is starved.

use std::collections::HashMap;
use std::time::Duration;

use plane::Error;
use plane::customers::{self, Deleting};
use plane::deletions::{Deletion, Details};
use plane::deliveries::{self, Attempt, Delivery, Due, PATIENCE, RETRIES};
use plane::ids::OrganizationRef;
use plane::members;
use plane::organizations;
use plane::page::PageRequest;
use plane::webhooks::{self, WebhookChange};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use crate::on_both_engines;
use crate::stage::Stage;
use crate::world::{deliver, new_customer};

on_both_engines! {
    a_customer_is_erased_at_once_and_completed_when_everybody_was_told
    an_endpoint_that_refuses_everything_holds_the_completion_until_it_is_given_up_and_no_longer
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

async fn an_endpoint_that_refuses_everything_holds_the_completion_until_it_is_given_up_and_no_longer(stage: Stage) {
    let (organization, hooks) = stage.found("refusing", 1).await;
    new_customer(&stage.now(), organization, "user123").await;
    deliver(&stage.plane, 200).await;
    let deletion = stage.delete_customer(organization, "user123").await;
    for pause in RETRIES {
        assert_eq!(deliver(&stage.plane, 500).await, 2);
        assert_eq!(deliver(&stage.plane, 500).await, 0, "not before its time");
        stage.drain().await;
        assert_eq!(stage.record(&deletion).await.state.name(), "draining");
        stage.plane.clock.advance(pause);
    }
    assert_eq!(deliver(&stage.plane, 500).await, 2);
    stage.drain().await;
    let completed = stage.record(&deletion).await;
    assert_eq!((completed.state.name(), completed.effects), ("completed", json!({"webhooks": {"delivered": 0, "failed": 2}})));
    let told = &stage.history(organization, hooks[0], "customer.deleted").await[0];
    assert_eq!((told.state.name(), told.attempts, told.response_status), ("failed", 4, Some(500)));
    assert_eq!(told.error.as_deref(), Some("refused"));
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
    // One is delivered and one refused for good; each in a time of its own.
    let due = stage.take(16).await;
    assert_eq!(due.len(), 2);
    assert!(due.iter().all(|due| due.undeliverable.is_none()));
    for (place, due) in due.into_iter().enumerate() {
        let error = (place == 0).then_some("refused");
        deliveries::finish(&stage.plane, due, Attempt { status: None, error }).await.unwrap();
    }
    for pause in RETRIES {
        stage.drain().await;
        assert_eq!(stage.record(&deletion).await.waiting_for.as_deref(), Some("1 webhook deliveries"));
        stage.plane.clock.advance(pause);
        deliver(&stage.plane, 500).await;
    }
    stage.drain().await;
    let completed = stage.record(&deletion).await;
    assert_eq!((completed.state.name(), completed.effects), ("completed", json!({"webhooks": {"delivered": 1, "failed": 1}})));
    for table in ["webhooks", "webhook_deliveries", "members"] {
        assert_eq!(stage.count(table, organization).await, 0, "{table}");
    }
}

async fn what_else_waits_in_the_queues_of_a_deleted_organization_is_not_sent(stage: Stage) {
    let (organization, _) = stage.found("closing", 1).await;
    new_customer(&stage.now(), organization, "user123").await;
    organizations::delete(&stage.owner, &OrganizationRef::Id(organization), Details::default()).await.unwrap();
    let due = stage.take(1).await;
    assert_eq!((due.len(), due[0].undeliverable), (1, None), "what the deletion waits for comes first");
    let mut sent = due.iter().map(type_of).collect::<Vec<_>>();
    sent.extend(stage.take(16).await.iter().filter(|due| due.undeliverable.is_none()).map(type_of));
    sent.sort();
    assert_eq!(sent, ["deletion.started", "organization.deleted"]);
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
    assert_eq!(
        (last.state.name(), stage.count("webhook_deliveries", organization).await),
        ("completed", 0),
        "no webhook is left to be told"
    );
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
    let all: Vec<_> = (0..8).map(|_| tokio::spawn(take(stage.plane.clone(), 16))).collect();
    let mut due = Vec::new();
    for taken in all {
        due.extend(taken.await.unwrap());
    }
    assert_eq!(due.len(), 1, "one of eight couriers has it");
    let lease = PATIENCE + stage.plane.config.lease;
    stage.plane.clock.advance(lease - Duration::from_secs(1));
    assert_eq!(stage.take(16).await.len(), 0);
    stage.plane.clock.advance(Duration::from_secs(1));
    let again = stage.take(16).await;
    assert_eq!((again.len(), again[0].id), (1, due[0].id), "the first sender is taken for dead");
    deliveries::finish(&stage.plane, again[0].clone(), Attempt { status: Some(204), error: None }).await.unwrap();
    // The first one was only slow, and what it says now changes nothing.
    deliveries::finish(&stage.plane, due[0].clone(), Attempt { status: Some(500), error: Some("refused") }).await.unwrap();
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
    let due = stage.take(16).await;
    let of = |organization| due.iter().filter(|due| due.organization == organization).count();
    assert_eq!((of(loud), of(quiet)), (2, 1));
    let under_way = HashMap::from([(loud, 2)]);
    assert_eq!(deliveries::take(&stage.plane, 16, &under_way).await.unwrap().due.len(), 0, "the loud one has its share");
    stage.delete_customer(loud, "user29").await;
    let next: Vec<_> = stage.take(16).await.iter().map(type_of).collect();
    assert!(next.len() == 2 && next.contains(&"customer.deleted".to_owned()) && next.contains(&"deletion.started".to_owned()), "{next:?}");
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
    assert_eq!(stage.count("webhook_deliveries", organization).await, 121);
    deliver(&stage.plane, 200).await;
    assert_eq!(stage.count("webhook_deliveries", organization).await, 100);
    for number in 120..130 {
        new_customer(&stage.now(), organization, &format!("user{number}")).await;
    }
    assert_eq!(stage.count("webhook_deliveries", organization).await, 110);
    assert_eq!(stage.history(organization, hooks[0], "webhook.created").await.len(), 0, "the oldest goes first");
}

async fn take(plane: std::sync::Arc<plane::Plane>, room: usize) -> Vec<Due> {
    deliveries::take(&plane, room, &HashMap::new()).await.unwrap().due
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

    async fn take(&self, room: usize) -> Vec<Due> {
        take(self.plane.clone(), room).await
    }

    pub(crate) async fn history(&self, organization: Uuid, webhook: Uuid, event: &str) -> Vec<Delivery> {
        let all = PageRequest::new(1, 1_000);
        let list = deliveries::list(&self.owner, &OrganizationRef::Id(organization), webhook, all).await.unwrap();
        list.entries.into_iter().filter(|delivery| delivery.event == event).collect()
    }
}
