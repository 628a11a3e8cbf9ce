//! Hosts that ask callers for a certificate.

use anyhow::{Result, ensure};
use turnpike_e2e::secure::{Authority, Caller, Certified, Http};
use turnpike_e2e::{Call, Scene, eventually, resources};

use crate::tls_certificates::route;

#[test]
fn callers_show_a_certificate_where_the_host_asks_and_no_other_way_leads_there() -> Result<()> {
    Scene::run(async |scene| {
        let (open, closed, key) = (scene.host("open"), scene.host("closed"), scene.key("alice"));
        let shown = Certified::make(&[&open, &closed])?;
        let (ca, successor) = (Authority::make()?, Authority::make()?);
        let certificates = "certificateRefs: [{name: own}]";
        let asking = format!("{{{certificates}, clientCARef: {{name: callers}}}}");
        let yaml = resources::echo_provider("echo")
            + &resources::consumer("alice", "gold", &key)
            + &shown.secret("own")
            + &ca.secret("callers")
            + &route("open", &open, "echo", &format!("{{{certificates}}}"))
            + &route("closed", &closed, "echo", &asking);
        scene.apply(&yaml).await?;
        let nobody = Caller::trusting(&[&shown])?;
        let known = Caller::showing(&[&shown], &ca)?;
        let stranger = Caller::showing(&[&shown], &successor)?;
        let tls = scene.fleet.data_planes[0].tls();
        let say = |host| Call::say(host, "echo", "hi").key(&key);
        eventually("who shows a certificate is let in", async || {
            known.send(tls, say(&closed)).await?.expect_ok().map(drop)
        })
        .await?;
        for caller in [&nobody, &stranger] {
            let refused = caller.send(tls, say(&closed)).await;
            ensure!(refused.is_err(), "{refused:?}");
            caller.send(tls, say(&open)).await?.expect_ok()?;
        }
        for caller in [&nobody, &known] {
            let mut connection = caller.connect(tls, &open, Http::Two).await?;
            let answer = connection.send(say(&closed)).await?;
            answer.expect_error(421, "misdirected_request")?;
            connection.send(say(&open)).await?.expect_ok()?;
        }
        let in_the_clear = scene.gateway().send(say(&closed)).await?;
        in_the_clear.expect_error(421, "misdirected_request")?;
        scene.gateway().send(say(&open)).await?.expect_ok()?;

        let mut before = known.connect(tls, &closed, Http::Two).await?;
        before.send(say(&closed)).await?.expect_ok()?;
        scene.apply(&successor.secret("callers")).await?;
        eventually(
            "who shows a certificate of the new CA is let in",
            async || {
                stranger
                    .send(tls, say(&closed))
                    .await?
                    .expect_ok()
                    .map(drop)
            },
        )
        .await?;
        let answer = before.send(say(&closed)).await?;
        answer.expect_error(421, "misdirected_request")?;
        let refused = known.send(tls, say(&closed)).await;
        ensure!(refused.is_err(), "{refused:?}");
        Ok(())
    })
}
