//! What the engine says of stacks, and what the server makes of it: what is broken is not handed out,
//! and what cannot be done is refused before it is begun.

use domain::time::MINUTE;
use providers::Trouble;
use serde_json::{Value, json};

use crate::{
    allocations::{all, ask, release},
    app::{TestApp, on_each},
    stacks::{acquire, connect, definition, ready, save, setup},
    verbs::{act_with, acted},
};

async fn node(app: &TestApp, id: &str) -> Value {
    app.admin().get(&format!("/api/v1/nodes/{id}")).await.json()
}

fn broken(app: &TestApp, troubles: &[(&str, Trouble)]) {
    let troubles = troubles.iter().map(|(part, trouble)| ((*part).to_owned(), *trouble)).collect();
    app.engine.with(|world| world.stacks.values_mut().for_each(|stack| stack.troubles = Clone::clone(&troubles)));
}

/// What stopped, went away or does not get well stays so until somebody does something: nobody is given
/// such a stack meanwhile, and its page says what it lacks.
#[tokio::test]
async fn a_stack_whose_services_do_not_serve_is_held_back() {
    on_each(setup(), async |app: &TestApp| {
        save(app, "shop", definition()).await;
        let provider = connect(app).await;
        let (id, _) = acquire(app, &provider, json!({"pool": "default"})).await;
        app.node_is(&id, "ready").await;
        let vm = async || all(&app.admin(), "/api/v1/pools/default/vms").await.remove(0);
        let user = app.user().await;
        assert_eq!(vm().await["status"], "available");
        for (part, trouble, word) in [
            ("worker", Trouble::Stopped, "worker stopped"),
            ("db", Trouble::Stopped, "db stopped"),
            ("web", Trouble::Missing, "web missing"),
            ("web", Trouble::Unhealthy, "web unhealthy"),
            ("web", Trouble::Restarting, "web restarting"),
            ("web", Trouble::Starting, "web starting"),
        ] {
            broken(app, &[(part, trouble)]);
            app.observed().await;
            let found = node(app, &id).await;
            let drift = &found["drift"][0];
            assert_eq!((&drift["field"], &drift["observed"]), (&json!("services"), &json!(word)), "{found:#}");
            assert_eq!(found["health"]["ready"], false, "{word}: {found:#}");
            let held = vm().await;
            assert_eq!(held["status"], "maintenance", "{word}: {held:#}");
            assert!(held["note"].as_str().unwrap().contains(word), "{held:#}");
            let waits = ask(&user, "default").await;
            assert_eq!(waits.status, 202, "{word}: nobody is given it: {}", waits.body);
            assert_eq!(release(&user, &waits.json()["id"]).await.status, 200);
            // What ends again and again runs in between: one look is not enough.
            broken(app, &[]);
            app.observed().await;
            assert_eq!(vm().await["status"], "maintenance", "{word}");
            assert_eq!(node(app, &id).await["drift"][0]["observed"], "running again", "{word}");
            app.observed().await;
            let well = node(app, &id).await;
            assert_eq!((&well["drift"], &well["health"]["ready"]), (&json!([]), &json!(true)), "{word}: {well:#}");
            assert_eq!(vm().await["status"], "available", "{word}");
        }
        let mine = ask(&user, "default").await;
        assert_eq!(mine.status, 201, "{}", mine.body);
    })
    .await;
}

#[tokio::test]
async fn what_a_broken_stack_lacks_is_put_back() {
    on_each(setup(), async |app: &TestApp| {
        let (_, id) = ready(app).await;
        let can = async |identity: &str| {
            let found = node(app, &id).await;
            let actions = found["actions"].as_array().unwrap().clone();
            actions.into_iter().find(|it| it["identity"] == identity).unwrap()["enabled"] == true
        };
        assert!(!can("resume-node").await, "it runs");
        broken(app, &[("db", Trouble::Stopped)]);
        app.observed().await;
        assert!(can("resume-node").await);
        acted(app, &id, "resume-node", json!({}), "succeeded").await;
        let well = node(app, &id).await;
        assert_eq!((&well["state"], &well["drift"]), (&json!("ready"), &json!([])), "{well:#}");
        // Where a container is gone there is nothing to start: the services are made anew.
        let same = act_with(app, &id, "upgrade-node", json!({"tag": "1"})).await;
        assert_eq!(same.status, 422, "{}", same.body);
        broken(app, &[("web", Trouble::Missing)]);
        app.observed().await;
        assert!(!can("resume-node").await);
        acted(app, &id, "upgrade-node", json!({"tag": "1"}), "succeeded").await;
        let well = node(app, &id).await;
        assert_eq!((&well["state"], &well["drift"]), (&json!("ready"), &json!([])), "{well:#}");
        assert!(app.engine.only().troubles.is_empty());
        // A tag that was changed on the engine is seen, and brought back.
        app.engine.with(|world| world.stacks.values_mut().for_each(|stack| stack.tag = "7".to_owned()));
        app.observed().await;
        let changed = node(app, &id).await;
        let drift = &changed["drift"][0];
        let told = (&drift["field"], &drift["recorded"], &drift["observed"]);
        assert_eq!(told, (&json!("tag"), &json!("1"), &json!("7")), "{changed:#}");
        acted(app, &id, "upgrade-node", json!({"tag": "1"}), "succeeded").await;
        assert_eq!(app.engine.only().tag, "1");
        app.observed().await;
        assert_eq!(node(app, &id).await["drift"], json!([]));
        // In one that is suspended the services are stopped, and that is as it should be.
        acted(app, &id, "suspend-node", json!({}), "succeeded").await;
        broken(app, &[("web", Trouble::Stopped)]);
        app.advance(MINUTE).await;
        app.observed().await;
        assert_eq!(node(app, &id).await["drift"], json!([]));
        broken(app, &[("db", Trouble::Missing)]);
        app.observed().await;
        assert_eq!(node(app, &id).await["drift"][0]["observed"], "db missing");
    })
    .await;
}
