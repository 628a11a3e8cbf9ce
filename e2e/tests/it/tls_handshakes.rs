//! Handshakes that go on with earlier sessions, that are none, and that nobody is asked for.

use anyhow::{Result, ensure};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use turnpike_e2e::fleet::{Controller, DataPlane, Source};
use turnpike_e2e::secure::{Caller, Certified, Http, send_raw};
use turnpike_e2e::{Call, FileScene, Scene, eventually, resources};

use crate::tls_certificates::route;

fn tenant(host: &str, key: &str, shown: &Certified) -> String {
    resources::echo_provider("echo")
        + &resources::consumer("alice", "gold", key)
        + &shown.secret("own")
        + &route("main", host, "echo", "{certificateRefs: [{name: own}]}")
}

#[test]
fn a_session_goes_on_at_another_data_plane() -> Result<()> {
    Scene::run(async |scene| {
        let (host, key) = (scene.host("a"), scene.key("alice"));
        let shown = Certified::make(&[&host])?;
        scene.apply(&tenant(&host, &key, &shown)).await?;
        let call = Call::say(&host, "echo", "hi").key(&key);
        let [one, two] = &scene.fleet.data_planes;
        for data_plane in [one, two] {
            eventually("both serve it", async || {
                let caller = Caller::trusting(&[&shown])?;
                caller
                    .send(data_plane.tls(), call.clone())
                    .await?
                    .expect_ok()
            })
            .await?;
        }
        let caller = Caller::trusting(&[&shown])?;
        let mut first = caller.connect(one.tls(), &host, Http::Two).await?;
        first.send(call.clone()).await?.expect_ok()?;
        let mut second = caller.connect(two.tls(), &host, Http::Two).await?;
        second.send(call).await?.expect_ok()?;
        ensure!(!first.is_resumed && second.is_resumed, "{second:?}");
        Ok(())
    })
}

#[test]
fn what_is_no_handshake_keeps_nobody_out() -> Result<()> {
    Scene::run(async |scene| {
        let (host, key) = (scene.host("a"), scene.key("alice"));
        let shown = Certified::make(&[&host])?;
        scene.apply(&tenant(&host, &key, &shown)).await?;
        let tls = scene.fleet.data_planes[0].tls();
        // Open until the end of the test, and never done.
        let mut slow = Vec::new();
        for _ in 0..32 {
            let mut stream = TcpStream::connect(tls).await?;
            stream.write_all(&[22, 3, 1, 2]).await?;
            slow.push(stream);
        }
        let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n");
        for bytes in [request.as_bytes(), &[0; 4096], &[0xff; 64]] {
            let answer = send_raw(tls, bytes).await?;
            ensure!(!answer.starts_with(b"HTTP/1.1 200"), "{answer:?}");
        }
        let caller = Caller::trusting(&[&shown])?;
        eventually("who comes after them is served", async || {
            let call = Call::say(&host, "echo", "hi").key(&key);
            caller.send(tls, call).await?.expect_ok().map(drop)
        })
        .await?;
        drop(slow);
        Ok(())
    })
}

#[test]
fn a_data_plane_that_starts_without_a_controller_shows_what_was_on_disk() -> Result<()> {
    FileScene::run(async |scene| {
        let (host, key) = ("disk.test", "tk-disk-4f1d0c62b7a94e15");
        let shown = Certified::make(&[host])?;
        scene.write("all.yaml", &tenant(host, key, &shown))?;
        let resources = scene.resources();
        let controller = Controller::start(&scene.folder, Source::Folder(&resources)).await?;
        let state = scene.folder.join("state").display().to_string();
        let more = [("--state-dir", state.as_str())];
        let url = controller.url();
        let data_plane = DataPlane::start_at(&scene.folder, "plane", &url, &more).await?;
        let caller = Caller::trusting(&[&shown])?;
        let say = || Call::say(host, "echo", "hi").key(key);
        eventually("it is served", async || {
            caller.send(data_plane.tls(), say()).await?.expect_ok()
        })
        .await?;
        controller.process().kill();
        data_plane.process().terminate().await?;
        data_plane.start_again().await?;
        let answer = caller.send(data_plane.tls(), say()).await?;
        answer.expect_ok()?;
        Ok(())
    })
}
