//! The harness itself does what it says, or the other tests would show nothing.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use turnpike_e2e::bench::{median, quantile, trend};
use turnpike_e2e::gateway::text_of;
use turnpike_e2e::provider::{Behaviour, Provider};
use turnpike_e2e::redis::Durability;
use turnpike_e2e::{Call, FileScene, Gateway, Redis, places, resources};

#[tokio::test]
async fn good_stream_has_words_and_an_end() -> Result<()> {
    let (provider, door) = provider().await?;
    let stream = door.send_streaming(Call::stream("a", "m", "hi")).await?;
    let (events, end) = stream.rest().await;
    end?;
    assert_eq!(text_of(&events), "word0 word1 word2 ");
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    assert_eq!(provider.last()?.json()?["model"], "m");
    Ok(())
}

#[tokio::test]
async fn cut_stream_breaks_off_after_its_words() -> Result<()> {
    let (provider, door) = provider().await?;
    provider.behave(Behaviour::Cut { after: 2 });
    let stream = door.send_streaming(Call::stream("a", "m", "hi")).await?;
    let (events, end) = stream.rest().await;
    assert_eq!(text_of(&events), "word0 word1 ");
    ensure!(end.is_err(), "a clean end");
    Ok(())
}

#[tokio::test]
async fn only_answers_that_nobody_reads_on_are_abandoned() -> Result<()> {
    let (provider, door) = provider().await?;
    door.send(Call::say("a", "m", "hi")).await?.expect_ok()?;
    assert_eq!(provider.abandoned(), 0);
    provider.behave(Behaviour::HangAfter(1));
    let mut stream = door.send_streaming(Call::stream("a", "m", "hi")).await?;
    stream.next().await?.context("no event")?;
    drop(stream);
    provider.await_abandoned(1).await
}

#[test]
fn redis_keeps_its_data_over_a_kill() -> Result<()> {
    FileScene::run(async |scene| {
        let redis = Redis::start(&scene.folder, Durability::EveryWrite).await?;
        redis
            .command(&["HSET", "tq:{u}:ns/plan:minute:c=a:1", "u", "5"])
            .await?;
        redis
            .command(&["HSET", "tq:{u}:ns/plan:minute:c=a:2", "u", "6"])
            .await?;
        redis
            .command(&["HSET", "tq:{u}:ns/plan:hour:c=a:2", "u", "9"])
            .await?;
        redis.process().kill();
        redis.start_again().await?;
        assert_eq!(redis.used("ns/plan", "minute").await?, 11);
        assert_eq!(redis.used("an", "minute").await?, 0);
        redis.stop().await?;
        redis.start_again().await?;
        assert_eq!(redis.used("plan", "minute").await?, 11);
        redis.command(&["FLUSHALL"]).await?;
        assert_eq!(redis.used("plan", "minute").await?, 0);
        Ok(())
    })
}

#[test]
fn figures_are_of_the_sorted_list() {
    let times: Vec<Duration> = (0..=100).rev().map(Duration::from_millis).collect();
    assert_eq!(quantile(&times, 0.5), Duration::from_millis(50));
    assert_eq!(quantile(&times, 0.99), Duration::from_millis(99));
    assert_eq!(quantile(&[], 0.5), Duration::ZERO);
    assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
}

#[test]
fn slope_is_of_the_line_that_lies_nearest() {
    let line: Vec<(f64, f64)> = (0..30)
        .map(|x| (f64::from(x), 5.0 - 2.0 * f64::from(x)))
        .collect();
    let exact = trend::fit(&line).expect("enough points");
    assert!((exact.slope + 2.0).abs() < 1e-9 && exact.standard_error < 1e-6);
    // One above and one below, in turn: as flat as it is uncertain.
    let rough: Vec<(f64, f64)> = (0..30).map(|x| (f64::from(x), f64::from(x % 2))).collect();
    let flat = trend::fit(&rough).expect("enough points");
    assert!(flat.slope.abs() < flat.standard_error);
    assert_eq!(trend::fit(&line[..2]), None);
    assert_eq!(trend::fit(&[(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)]), None);
}

#[test]
fn parts_are_means_of_neighbours() {
    let points = [(0.0, 0.0), (1.0, 2.0), (2.0, 4.0), (3.0, 6.0), (4.0, 9.0)];
    let expected = [(0.5, 1.0), (2.5, 5.0), (4.0, 9.0)];
    assert_eq!(trend::parts(&points, 3), expected);
    assert_eq!(trend::parts(&[], 3), []);
}

#[test]
fn digest_is_hexadecimal_sha256() {
    let digest = resources::digest("abc");
    assert_eq!(digest.len(), 64);
    assert!(digest.starts_with("ba7816bf8f01cfea"));
}

#[test]
fn names_are_unique_and_fit_for_kubernetes() {
    let (one, two) = (places::unique(), places::unique());
    assert_ne!(one, two);
    assert!(
        one.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    );
}

async fn provider() -> Result<(Provider, Gateway)> {
    let provider = Provider::start().await?;
    let door = Gateway::at(provider.address());
    Ok((provider, door))
}
