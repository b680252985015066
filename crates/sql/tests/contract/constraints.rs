//! A refused row says which rule refused it, in the same words of this crate on both engines.

use sql::{Database, Error, Result, Statement, params, sql};

use crate::engines::{on_both_engines, run};

on_both_engines!(
    a_second_row_with_the_same_key_is_told_apart,
    a_row_without_its_parent_is_told_apart,
    a_parent_that_still_has_children_is_told_apart,
    other_refusals_are_neither,
    a_child_goes_with_its_parent,
);

async fn tables(database: &Database) -> Result<()> {
    run(database, sql!("CREATE TABLE parents (id bigint PRIMARY KEY, name text NOT NULL UNIQUE)"), &[]).await?;
    let children = sql!(
        "CREATE TABLE children (
            id integer PRIMARY KEY,
            parent_id bigint NOT NULL REFERENCES parents (id) ON DELETE CASCADE,
            guardian_id bigint REFERENCES parents (id) ON DELETE RESTRICT,
            teacher_id bigint REFERENCES parents (id),
            age bigint CHECK (age >= 0)
        )"
    );
    run(database, children, &[]).await?;
    run(database, sql!("INSERT INTO parents (id, name) VALUES (1, 'Ada'), (2, 'Ben'), (3, 'Cleo')"), &[]).await?;
    run(database, sql!("INSERT INTO children (id, parent_id, guardian_id, teacher_id) VALUES (10, 1, 2, 3)"), &[]).await?;
    Ok(())
}

async fn refusal(database: &Database, statement: Statement) -> Error {
    run(database, statement, &[]).await.expect_err("the engine refuses it")
}

async fn a_second_row_with_the_same_key_is_told_apart(database: Database) -> Result<()> {
    tables(&database).await?;
    for duplicate in [
        sql!("INSERT INTO parents (id, name) VALUES (1, 'Dan')"),
        sql!("INSERT INTO parents (id, name) VALUES (4, 'Ada')"),
        sql!("UPDATE parents SET name = 'Ada' WHERE id = 2"),
        sql!("INSERT INTO children (id, parent_id) VALUES (10, 1)"),
    ] {
        let refused = refusal(&database, duplicate).await;
        assert!(matches!(refused, Error::Unique(_)), "{duplicate:?}: {refused:?}");
    }
    Ok(())
}

async fn a_row_without_its_parent_is_told_apart(database: Database) -> Result<()> {
    tables(&database).await?;
    for orphan in [sql!("INSERT INTO children (id, parent_id) VALUES (11, 9)"), sql!("UPDATE children SET parent_id = 9 WHERE id = 10")] {
        let refused = refusal(&database, orphan).await;
        assert!(matches!(refused, Error::ForeignKey(_)), "{orphan:?}: {refused:?}");
    }
    Ok(())
}

async fn a_parent_that_still_has_children_is_told_apart(database: Database) -> Result<()> {
    tables(&database).await?;
    for bereaving in [
        sql!("DELETE FROM parents WHERE id = 2"),
        sql!("DELETE FROM parents WHERE id = 3"),
        sql!("UPDATE parents SET id = 20 WHERE id = 2"),
    ] {
        let refused = refusal(&database, bereaving).await;
        assert!(matches!(refused, Error::ForeignKey(_)), "{bereaving:?}: {refused:?}");
    }
    Ok(())
}

async fn other_refusals_are_neither(database: Database) -> Result<()> {
    tables(&database).await?;
    for defect in [
        sql!("INSERT INTO parents (id, name) VALUES (4, NULL)"),
        sql!("UPDATE children SET age = -1"),
        sql!("INSERT INTO nowhere (id) VALUES (1)"),
        sql!("INSRT INTO parents (id) VALUES (1)"),
    ] {
        let refused = refusal(&database, defect).await;
        assert!(matches!(refused, Error::Statement(_)), "{defect:?}: {refused:?}");
    }
    let refused = run(&database, sql!("DELETE FROM parents WHERE id = $1"), params![1, 2]).await;
    assert!(matches!(refused, Err(Error::Statement(_))), "a parameter too many: {refused:?}");
    let refused = run(&database, sql!("DELETE FROM parents WHERE id = $1"), params![]).await;
    assert!(matches!(refused, Err(Error::Statement(_))), "a parameter too few: {refused:?}");
    Ok(())
}

async fn a_child_goes_with_its_parent(database: Database) -> Result<()> {
    tables(&database).await?;
    run(&database, sql!("DELETE FROM parents WHERE id = 1"), &[]).await?;
    assert_eq!(run(&database, sql!("DELETE FROM children"), &[]).await?, 0);
    Ok(())
}
