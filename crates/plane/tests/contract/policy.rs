//! What no change of the policy may break, whatever else the golden page shows: which role is above which, and that scopes only narrow.

use plane::policy::{Action, Role, SCOPES, Scopes, Verdict, decide, operator_may, refusal};

fn held(scopes: &[&str]) -> Vec<String> {
    scopes.iter().map(|scope| (*scope).to_owned()).collect()
}

/// No role is enough for them: a key, and an app's tokens, act as the member who made them, and so only that member may give them more.
const GIVEN_TO_THE_MAKER_ALONE: [Action; 2] = [Action::GiveToApiKey, Action::GiveToOauthApp];
/// Whose organization has no owner, or none who can sign in, asks an operator.
const FOR_OPERATORS_ALONE: [Action; 4] =
    [Action::DeleteOwnerless, Action::RecoverOrganization, Action::ChangeLimits, Action::LinkSubscription];

/// No, own, yes.
fn strength(role: Role, action: Action) -> u8 {
    match decide(role, action) {
        Verdict::No => 0,
        Verdict::Managed => 1,
        Verdict::Yes => 2,
    }
}

#[test]
fn no_role_may_do_what_an_owner_may_not() {
    for action in Action::ALL {
        if GIVEN_TO_THE_MAKER_ALONE.contains(action) || FOR_OPERATORS_ALONE.contains(action) {
            assert!(Role::ALL.iter().all(|role| strength(*role, *action) == 0));
            continue;
        }
        assert_eq!(decide(Role::Owner, *action), Verdict::Yes, "{action:?}");
    }
}

#[test]
fn an_admin_may_do_everything_but_what_concerns_the_organization_itself_and_its_owners() {
    let refused: Vec<Action> = Action::ALL.iter().copied().filter(|action| strength(Role::Admin, *action) < 2).collect();
    assert_eq!(
        refused,
        [
            Action::UpdateOrganization,
            Action::ArchiveOrganization,
            Action::TransferOrganization,
            Action::DeleteOrganization,
            Action::DeleteOwnerless,
            Action::RecoverOrganization,
            Action::ChangeLimits,
            Action::ChangeOwnerRole,
            Action::RemoveOwner,
            Action::InviteOwner,
            Action::UpdateOwnerApiKey,
            Action::GiveToApiKey,
            Action::GiveToOauthApp,
            Action::ManageBilling,
            Action::ChangeBilling,
            Action::LinkSubscription,
            Action::ExportOrganization,
            Action::ReleaseHold,
            Action::ChangeRequirements,
            Action::ApproveDeletion
        ]
    );
}

#[test]
fn who_only_reads_changes_nothing_but_their_own_and_billing_the_bill() {
    for role in [Role::Billing, Role::Viewer] {
        for action in Action::ALL.iter().filter(|action| !action.scope().starts_with("read:")) {
            let is_own = matches!(action, Action::Leave | Action::RevokeOwnApiKey | Action::RotateOwnApiKey);
            let is_for_billing = role == Role::Billing && *action == Action::ManageBilling;
            assert_eq!(strength(role, *action), if is_own || is_for_billing { 2 } else { 0 }, "{role:?} {action:?}");
        }
    }
}

#[test]
fn a_reseller_comes_near_no_customer_of_another() {
    for action in Action::ALL.iter().filter(|action| action.scope().ends_with(":customers")) {
        assert!(strength(Role::Reseller, *action) < 2, "{action:?}");
    }
    assert!(
        Role::ALL.iter().filter(|role| **role != Role::Reseller).all(|role| Action::ALL.iter().all(|action| strength(*role, *action) != 1))
    );
}

#[test]
fn operators_look_and_hold_and_take_back_and_stop_and_mend_what_has_no_owner_and_set_limits_and_link_and_touch_nothing_else() {
    let allowed: Vec<Action> = Action::ALL.iter().copied().filter(|action| operator_may(*action)).collect();
    let looking = [Action::ReadOrganization, Action::ReadBilling, Action::ReadAudit, Action::ReadDeletions, Action::ReadHolds];
    let taking_back = [Action::RestoreDeletion, Action::StopPurge];
    let holding = [Action::PlaceHold, Action::ReleaseHold];
    let mut all = [&looking[..], &FOR_OPERATORS_ALONE, &taking_back, &holding].concat();
    all.sort_by_key(|action| *action as usize);
    assert_eq!(allowed, all);
}

#[test]
fn every_refusal_says_that_access_is_denied() {
    for action in Action::ALL {
        assert!(refusal(*action).starts_with("Access denied. "), "{action:?}");
    }
}

#[test]
fn every_action_needs_a_scope_that_a_key_can_have() {
    for action in Action::ALL {
        assert!(SCOPES.contains(&action.scope()), "{action:?} needs {}", action.scope());
    }
}

#[test]
fn a_scope_covers_itself_and_no_other() {
    let plain = SCOPES.iter().filter(|scope| !scope.starts_with("admin:"));
    for own in plain {
        for wanted in SCOPES {
            assert_eq!(Scopes::of(&held(&[own])).covers(wanted), *own == wanted, "{own} for {wanted}");
        }
    }
    assert!(SCOPES.iter().all(|wanted| !Scopes::of(&[]).covers(wanted)));
}

#[test]
fn admin_all_covers_everything() {
    assert!(SCOPES.iter().all(|wanted| Scopes::of(&held(&["admin:all"])).covers(wanted)));
}

#[test]
fn admin_organization_covers_everything_of_the_organization_and_nothing_of_the_person() {
    let scopes = held(&["admin:organization"]);
    let refused: Vec<&str> = SCOPES.into_iter().filter(|wanted| !Scopes::of(&scopes).covers(wanted)).collect();
    assert_eq!(refused, ["read:user", "write:user", "admin:all"]);
}

#[test]
fn scopes_add_up_and_a_name_that_only_begins_alike_is_another() {
    assert!(Scopes::of(&held(&["read:members", "write:customers"])).covers("write:customers"));
    assert!(!Scopes::of(&held(&["read:customers"])).covers("write:customers"));
    assert!(!Scopes::of(&held(&["write:customer", "write:customers2", "WRITE:CUSTOMERS", ""])).covers("write:customers"));
}
