//! Preferences: what users avoid, require or prefer, trait by trait, so that the products behind this server need not ask each for itself.

use sql::{params, sql};

use crate::audit;
use crate::ids::SERVER_SCOPE;
use crate::{Cx, Error, FieldError, Result};

sql::words! {
    /// What kind of trait it is.
    pub enum Category {
        /// Something that makes some people ill.
        Allergen = "ALLERGEN",
        /// A way to eat.
        Dietary = "DIETARY",
        /// A rule of a religion.
        Religious = "RELIGIOUS",
        /// Where something comes from and how it was made.
        Sourcing = "SOURCING",
        /// Anything else.
        Other = "OTHER",
    }
}

sql::words! {
    /// What a user thinks of a trait.
    pub enum Stance {
        /// Not for me.
        Avoid = "AVOID",
        /// Only with it.
        Require = "REQUIRE",
        /// Rather with it.
        Prefer = "PREFER",
        /// Either way.
        Neutral = "NEUTRAL",
    }
}

/// Something that a user can have a stance on.
#[derive(Debug, PartialEq, Eq)]
pub struct Trait {
    /// Its name, for programs.
    pub name: &'static str,
    /// Its name, for people.
    pub label: &'static str,
    /// What kind it is.
    pub category: Category,
}

const fn entry(name: &'static str, label: &'static str, category: Category) -> Trait {
    Trait { name, label, category }
}

/// Every trait there is, by category. The allergens are the fourteen that food must be labelled with in the European Union (regulation
/// 1169/2011, annex II). A trait whose name was given out once keeps it: names are stored.
#[rustfmt::skip]
pub const TRAITS: &[Trait] = &[
    entry("celery", "Celery", Category::Allergen),
    entry("crustaceans", "Crustaceans", Category::Allergen),
    entry("eggs", "Eggs", Category::Allergen),
    entry("fish", "Fish", Category::Allergen),
    entry("gluten", "Gluten", Category::Allergen),
    entry("lupin", "Lupin", Category::Allergen),
    entry("milk", "Milk", Category::Allergen),
    entry("molluscs", "Molluscs", Category::Allergen),
    entry("mustard", "Mustard", Category::Allergen),
    entry("peanuts", "Peanuts", Category::Allergen),
    entry("sesame", "Sesame", Category::Allergen),
    entry("soy", "Soy", Category::Allergen),
    entry("sulphites", "Sulphites", Category::Allergen),
    entry("tree_nuts", "Tree nuts", Category::Allergen),
    entry("vegetarian", "Vegetarian", Category::Dietary),
    entry("vegan", "Vegan", Category::Dietary),
    entry("low_sugar", "Low in sugar", Category::Dietary),
    entry("low_salt", "Low in salt", Category::Dietary),
    entry("halal", "Halal", Category::Religious),
    entry("kosher", "Kosher", Category::Religious),
    entry("organic", "Organic", Category::Sourcing),
    entry("fair_trade", "Fair trade", Category::Sourcing),
    entry("local", "Locally made", Category::Sourcing),
    entry("free_range", "Free range", Category::Sourcing),
    entry("palm_oil", "Palm oil", Category::Sourcing),
    entry("alcohol", "Alcohol", Category::Other),
    entry("caffeine", "Caffeine", Category::Other),
    entry("genetically_modified", "Genetically modified", Category::Other),
];

impl Trait {
    /// The trait of this name.
    pub fn named(name: &str) -> Option<&'static Trait> {
        TRAITS.iter().find(|known| known.name == name)
    }
}

/// A user's stance on a trait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preference {
    /// On what.
    pub subject: &'static Trait,
    /// Which.
    pub stance: Stance,
}

/// The stances that the signed-in user has taken, in the order of [`TRAITS`]. A trait on which they never took one is not among them; one
/// that they took back is, as [`Stance::Neutral`], so that a client that keeps a copy learns of it.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::Forbidden`] for a key without the scope.
pub async fn list(cx: &Cx) -> Result<Vec<Preference>> {
    let principal = cx.needs("read:user")?;
    let user = principal.user;
    cx.read(async move |_, tx| load(tx, user).await).await
}

/// Takes stances for the signed-in user and returns all that they have then. Traits that are not named keep theirs, and [`Stance::Neutral`]
/// on a trait without one changes nothing.
///
/// # Errors
/// [`Error::Unauthenticated`]; [`Error::Forbidden`] for a key without the scope; [`Error::Invalid`] for an unknown trait.
pub async fn set(cx: &Cx, wanted: Vec<(String, Stance)>) -> Result<Vec<Preference>> {
    let principal = cx.needs("write:user")?;
    if wanted.len() > TRAITS.len() {
        return Err(FieldError::new("preferences", "too_many", format!("must name {} traits at the most, each once", TRAITS.len())).into());
    }
    let known = wanted.into_iter().map(|(name, stance)| match Trait::named(&name) {
        Some(subject) => Ok(Preference { subject, stance }),
        None => Err(FieldError::new(name.chars().take(100).collect::<String>(), "unknown_trait", "is no trait that is known here")),
    });
    let wanted = known.collect::<Result<Vec<_>, _>>()?;
    let user = principal.user;
    cx.write_own(async move |cx, tx| {
        let old = load(tx, user).await?;
        let stance_on = |subject| old.iter().find(|known| known.subject == subject).map_or(Stance::Neutral, |known| known.stance);
        let changed: Vec<&Preference> = wanted.iter().filter(|one| one.stance != stance_on(one.subject)).collect();
        let statement = sql!(
            "INSERT INTO preferences (user_id, trait, stance, updated_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (user_id, trait) DO UPDATE SET stance = excluded.stance, updated_at = excluded.updated_at"
        );
        for Preference { subject, stance } in &changed {
            tx.execute(statement, params![user, subject.name, stance.name().to_ascii_lowercase(), cx.now]).await.map_err(|error| {
                match error {
                    // The account was deleted in this very moment.
                    sql::Error::ForeignKey(_) => Error::Unauthenticated,
                    other => other.into(),
                }
            })?;
        }
        if !changed.is_empty() {
            audit::record(cx, tx, SERVER_SCOPE, &audit::about_user("preferences.update", user)).await?;
        }
        load(tx, user).await
    })
    .await
}

async fn load(tx: &mut sql::Tx, user: uuid::Uuid) -> Result<Vec<Preference>> {
    let mut taken = Vec::new();
    let statement = sql!("SELECT trait, stance FROM preferences WHERE user_id = $1");
    for (name, stance) in tx.read_all::<(String, String)>(statement, params![user]).await? {
        let stance = Stance::parse(&stance.to_ascii_uppercase());
        taken.push((name, stance.ok_or_else(|| Error::Internal("a preference has an unknown stance".into()))?));
    }
    let of = |subject: &'static Trait| {
        let stance = taken.iter().find(|(name, _)| name == subject.name)?.1;
        Some(Preference { subject, stance })
    };
    Ok(TRAITS.iter().filter_map(of).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trait_has_a_name_of_its_own_and_stands_with_its_category() {
        for (place, one) in TRAITS.iter().enumerate() {
            assert!(TRAITS[..place].iter().all(|earlier| earlier.name != one.name), "{}", one.name);
        }
        let place = |category| Category::ALL.iter().position(|known| *known == category);
        assert!(TRAITS.is_sorted_by_key(|one| place(one.category)));
    }
}
