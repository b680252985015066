//! Keys that sign access tokens, as time goes by.

use std::time::Duration;

use plane::credentials::{Presented, authenticate};
use plane::users::operators;
use plane::{Cx, maintenance, sessions, signing_key_rotation};

use crate::on_both_engines;
use crate::people::uncounted;
use crate::stage::Stage;

on_both_engines! {
    a_key_that_was_replaced_verifies_until_its_last_token_has_ended_and_is_erased_then
    a_key_that_ends_at_once_does_so_also_where_the_clock_was_set_back
}

fn kids(stage: &Stage) -> Vec<String> {
    stage.plane.jwks().keys.into_iter().map(|key| key.kid).collect()
}

async fn a_key_that_was_replaced_verifies_until_its_last_token_has_ended_and_is_erased_then(stage: Stage) {
    let plane = &stage.plane;
    let sign_in = async || {
        let anonymous = Cx::new(plane, "test");
        let signed_in = sessions::sign_in(&uncounted(&anonymous), "owner@example.com", "correct horse".into(), None).await.unwrap();
        signed_in.access_token
    };
    let is_good = async |token: &str| authenticate(Cx::new(plane, "test"), Presented::Bearer(token)).await.is_ok();
    let operator = async || authenticate(Cx::new(plane, "test"), Presented::Bearer(&sign_in().await)).await.unwrap();
    signing_key_rotation::rotate(&operator().await, false).await.unwrap_err();
    operators::add(&Cx::new(plane, "test"), "owner@example.com").await.unwrap();

    let life = plane.config.access_token_life;
    let [first] = kids(&stage).try_into().unwrap();
    let second = signing_key_rotation::rotate(&operator().await, false).await.unwrap().id;
    assert_eq!(kids(&stage), [second.clone(), first.clone()]);
    plane.clock.advance(life / 2);
    let third = signing_key_rotation::rotate(&operator().await, false).await.unwrap().id;
    let token = sign_in().await;
    plane.clock.advance(life / 2 + Duration::from_secs(30));
    maintenance::once(plane).await.unwrap();
    // A token that was signed in the moment of the rotation is good until now.
    assert_eq!(kids(&stage), [third.clone(), second.clone(), first]);
    assert!(is_good(&token).await);

    plane.clock.advance(Duration::from_secs(31));
    // Whether or not it is erased.
    assert_eq!(kids(&stage), [third.clone(), second]);
    maintenance::once(plane).await.unwrap();
    assert_eq!(stage.engine.count("SELECT count(*) FROM signing_keys").await, 2);
    plane.clock.advance(life);
    maintenance::once(plane).await.unwrap();
    assert_eq!(kids(&stage), [third]);
    assert_eq!(stage.engine.count("SELECT count(*) FROM signing_keys").await, 1);
    assert!(!is_good(&token).await);
    assert!(is_good(&sign_in().await).await);
}

async fn a_key_that_ends_at_once_does_so_also_where_the_clock_was_set_back(stage: Stage) {
    let plane = &stage.plane;
    operators::add(&Cx::new(plane, "test"), "owner@example.com").await.unwrap();
    let anonymous = Cx::new(plane, "test");
    let signed_in = sessions::sign_in(&uncounted(&anonymous), "owner@example.com", "correct horse".into(), None).await.unwrap();
    let mut operator = authenticate(Cx::new(plane, "test"), Presented::Bearer(&signed_in.access_token)).await.unwrap();
    signing_key_rotation::rotate(&operator, false).await.unwrap();
    operator.now = operator.now.checked_sub(Duration::from_hours(1)).unwrap();
    let last = signing_key_rotation::rotate(&operator, true).await.unwrap().id;
    assert_eq!(kids(&stage), std::slice::from_ref(&last));
    maintenance::once(plane).await.unwrap();
    assert_eq!(kids(&stage), [last]);
    let token = authenticate(Cx::new(plane, "test"), Presented::Bearer(&signed_in.access_token)).await;
    assert!(token.is_err());
}
