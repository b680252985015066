//! People with accounts, and chance that can be had again.

use std::sync::Arc;

use plane::attempts::Uncounted;
use plane::credentials::{Presented, authenticate};
use plane::cx::Actor;
use plane::users::{self, NewUser};
use plane::{Cx, Plane, sessions};
use uuid::Uuid;

/// Everybody's.
pub(crate) const PASSWORD: &str = "correct horse";

/// A person with an account.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) email: String,
    pub(crate) id: Uuid,
    actor: Actor,
}

/// The same work, with passwords looked at as often as a test wants.
pub(crate) fn uncounted(cx: &Cx) -> Cx {
    cx.clone().counting(Arc::new(Uncounted))
}

impl Person {
    /// Signs up and in.
    pub(crate) async fn new(plane: &Arc<Plane>) -> Person {
        let email = format!("{}@example.com", Uuid::from_bytes(deletion::random().unwrap()).simple());
        let anonymous = Cx::new(plane, "test");
        let new = NewUser { email: email.clone(), password: PASSWORD.into(), name: None, is_operator: false };
        let id = users::sign_up(&anonymous, new).await.unwrap().unwrap();
        let signed_in = sessions::sign_in(&uncounted(&anonymous), &email, PASSWORD.into(), None).await.unwrap();
        let actor = authenticate(anonymous, Presented::Bearer(&signed_in.access_token)).await.unwrap().actor;
        Person { email, id, actor }
    }

    /// The person at this moment.
    pub(crate) fn cx(&self, plane: &Arc<Plane>) -> Cx {
        Cx::new(plane, "test").with_actor(self.actor.clone())
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014).
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    /// A number below this one.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }

    /// True once in so many times.
    pub(crate) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of these; none of none.
    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() { None } else { from.get(self.below(from.len())) }
    }
}
