//! Hashes of passwords from before normal forms.

use argon2::{Argon2, PasswordHasher};
use plane::{Cx, Error, sessions};

use crate::on_both_engines;
use crate::people::uncounted;
use crate::stage::Stage;

on_both_engines! {
    a_hash_from_before_normal_forms_fits_as_typed_and_is_made_anew
}

async fn a_hash_from_before_normal_forms_fits_as_typed_and_is_made_anew(stage: Stage) {
    const TYPED: &str = "Pa\u{308}sswo\u{308}rter";
    const COMPOSED: &str = "P\u{e4}ssw\u{f6}rter";
    let old = Argon2::default().hash_password_with_salt(TYPED.as_bytes(), &[7; 16]).unwrap().to_string();
    let update = format!("UPDATE users SET password_hash = '{old}'");
    stage.engine.run(&update, &update).await.unwrap();
    let kept = format!("SELECT count(*) FROM users WHERE password_hash = '{old}'");
    let sign_in = async |password: &str| {
        sessions::sign_in(&uncounted(&Cx::new(&stage.plane, "test")), "owner@example.com", password.into(), None).await
    };
    assert!(matches!(sign_in(COMPOSED).await, Err(Error::Unauthenticated)), "the server does not know how it was typed");
    assert_eq!(stage.engine.count(&kept).await, 1);
    sign_in(TYPED).await.unwrap();
    assert_eq!(stage.engine.count(&kept).await, 0, "the hash is of the normal form from now on");
    for password in [COMPOSED, TYPED] {
        sign_in(password).await.unwrap();
    }
    assert!(matches!(sign_in("Passworter").await, Err(Error::Unauthenticated)));
}
