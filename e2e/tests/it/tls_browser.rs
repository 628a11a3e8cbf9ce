//! A browser uses one connection for all hosts of a certificate: each request reaches its own tenant,
//! and one that may not come by that connection is sent again by another.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use turnpike_e2e::browser::Browser;
use turnpike_e2e::gateway::chat_body;
use turnpike_e2e::lossy::LossyWire;
use turnpike_e2e::secure::{Authority, Caller};
use turnpike_e2e::{Scene, eventually};

use crate::tls_certificates::route;
use crate::tls_hosts::{
    await_served, below, fleet_certificate, second_namespace, tenant, two_tenants,
};

/// Asks all at once, by the page's own means. With credentials, since a browser keeps connections
/// with them apart from those without.
async fn ask(browser: &mut Browser, port: u16, asked: &[(&str, &str)]) -> Result<Vec<Value>> {
    let asked = json!(asked);
    let body = json!(chat_body("echo", "hi", false).to_string());
    let script = format!(
        "Promise.all({asked}.map(async ([host, key]) => {{
            try {{
                const answer = await fetch(`https://${{host}}:{port}/v1/chat/completions`, {{
                    method: 'POST',
                    credentials: 'include',
                    headers: {{'content-type': 'application/json', authorization: `Bearer ${{key}}`}},
                    body: {body},
                }});
                return [answer.status, await answer.json()];
            }} catch (error) {{
                return [0, String(error)];
            }}
        }}))"
    );
    let answers = browser.run(&script).await?;
    Ok(answers.as_array().cloned().unwrap_or_default())
}

fn statuses(answers: &[Value]) -> Vec<u64> {
    let status = |answer: &Value| answer[0].as_u64().unwrap_or_default();
    answers.iter().map(status).collect()
}

/// The browser's numbers of the connections that answers of a host came by.
fn connections(browser: &Browser, host: &str) -> Vec<u64> {
    let begin = format!("https://{host}:");
    let answers = browser.answers().iter();
    let of_host = answers.filter(|seen| seen.url.starts_with(&begin));
    let mut numbers: Vec<u64> = of_host.map(|seen| seen.connection).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

#[test]
fn a_browser_reaches_two_tenants_by_one_connection_each_its_own() -> Result<()> {
    Scene::run(async |scene| {
        let (fleet, [(one, key), (two, other_key)]) = two_tenants(scene).await?;

        let wire = LossyWire::start(scene.fleet.data_planes[0].tls()).await?;
        let port = wire.address().port();
        let mut browser = Browser::start(&scene.folder, &fleet).await?;
        browser.open(&format!("https://{one}:{port}/")).await?;
        let asked = [
            (one.as_str(), key.as_str()),
            (&two, &other_key),
            (&one, &other_key),
            (&two, &key),
        ];
        for _ in 0..2 {
            let answers = ask(&mut browser, port, &asked).await?;
            ensure!(statuses(&answers) == [200, 200, 401, 401], "{answers:?}");
        }
        let seen = browser.answers();
        ensure!(seen.iter().all(|seen| seen.protocol == "h2"), "{seen:?}");
        let (first, second_host) = (connections(&browser, &one), connections(&browser, &two));
        ensure!(first.len() == 1 && first == second_host, "{seen:?}");
        ensure!(wire.connections() == 1, "{} taken", wire.connections());
        browser.close().await?;
        let deletion = [
            "delete",
            "namespace",
            &second_namespace(scene),
            "--wait=false",
        ];
        scene.kubectl(&deletion).await.map(drop)
    })
}

#[test]
fn a_browser_told_that_its_connection_is_not_for_a_host_asks_again_by_a_new_one() -> Result<()> {
    Scene::run(async |scene| {
        let fleet = fleet_certificate(scene).await?;
        let (open, closed, key) = (below(scene, "open"), below(scene, "closed"), scene.key("a"));
        let ca = Authority::make()?;
        let yaml = tenant(&open, &key)
            + &ca.secret("callers")
            + &route("closed", &closed, "echo", "{clientCARef: {name: callers}}");
        scene.apply(&yaml).await?;
        let (nobody, known) = (
            Caller::trusting(&[&fleet])?,
            Caller::showing(&[&fleet], &ca)?,
        );
        await_served(scene, &nobody, &open, &key).await?;
        await_served(scene, &known, &closed, &key).await?;

        let data_plane = &scene.fleet.data_planes[0];
        let answered = |host: &str, status: u64| {
            let log = data_plane.process().stdout();
            let lines = log
                .lines()
                .filter_map(|line| serde_json::from_str(line).ok());
            let found = lines.filter(|line: &Value| line["host"] == host);
            found.filter(|line| line["status"] == status).count()
        };
        let misdirected = answered(&closed, 421);
        let wire = LossyWire::start(data_plane.tls()).await?;
        let port = wire.address().port();
        let mut browser = Browser::start(&scene.folder, &fleet).await?;
        browser.open(&format!("https://{open}:{port}/")).await?;
        let before = wire.connections();
        ensure!(before == 1, "{before} taken");
        let answers = ask(&mut browser, port, &[(&closed, &key)]).await?;
        ensure!(statuses(&answers) == [0], "{answers:?}");
        ensure!(wire.connections() > 1, "nothing was asked again");
        // The host asks for a certificate in the handshake, and the browser has none: how it is told
        // so depends on whether it reads the alert before the close.
        let failures: Vec<&str> = browser.failures().collect();
        ensure!(failures.len() == 1, "{failures:?}");
        eventually("one request came by the wrong connection", async || {
            let told = (answered(&closed, 200), answered(&closed, 421));
            // The other is of who showed a certificate.
            ensure!(told == (1, misdirected + 1), "{told:?}");
            Ok(())
        })
        .await?;

        let answers = ask(&mut browser, port, &[(&open, &key)]).await?;
        ensure!(statuses(&answers) == [200], "{answers:?}");
        let used = connections(&browser, &open);
        ensure!(used.len() == 1, "its own connection goes on: {used:?}");
        browser.close().await
    })
}
