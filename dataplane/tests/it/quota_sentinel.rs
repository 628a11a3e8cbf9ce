//! Quotas in whichever Redis the Sentinels call the primary.

use std::sync::Arc;
use std::time::Duration;

use turnpike_dataplane::quota::{
    Admission, Charge, CounterKey, CounterName, QuotaStore, RedisSettings, RedisStore,
    ReservationId, Reserve, StoreError, Unit,
};

use crate::quota_server::{RedisServer, eventually};

const PRIMARY: &str = "quotas";
const LIMIT: u64 = 1000;

fn reserve(estimate: u64) -> Reserve {
    let counter = CounterKey::new(CounterName {
        namespace_uid: "uid-1".into(),
        quota: "team/gold".into(),
        limit: "tokens".into(),
        subject: CounterName::subject_of(Some(("team", "alice")), Some("team")),
    });
    let charge = Charge {
        counter,
        unit: Unit::Tokens,
        limit: LIMIT,
        window: Duration::from_secs(24 * 3600),
        estimate,
    };
    Reserve {
        id: ReservationId::random(),
        charges: vec![charge],
        ttl: Duration::from_secs(600),
    }
}

fn store(url: String) -> RedisStore {
    let settings = RedisSettings {
        call_timeout: Duration::from_secs(1),
        ..RedisSettings::new(url)
    };
    RedisStore::open(&settings, Arc::default()).unwrap()
}

async fn place_of_primary(sentinel: &RedisServer) -> Vec<String> {
    let question = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", PRIMARY];
    sentinel.run(&question).await
}

async fn role(server: &RedisServer) -> String {
    let role: Vec<redis::Value> = server.run(&["ROLE"]).await;
    redis::from_redis_value(role.into_iter().next().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quotas_follow_the_primary_with_what_was_counted() {
    let mut first = RedisServer::start().await;
    let second = RedisServer::start().await;
    // A replica is otherwise sent nothing for 5 s.
    let at_once = ["CONFIG", "SET", "repl-diskless-sync-delay", "0"];
    let _: String = first.run(&at_once).await;
    let [host, port] = first.place();
    let _: String = second.run(&["REPLICAOF", &host, &port]).await;
    let sentinel = RedisServer::start_sentinel(PRIMARY, &first).await;
    eventually("Sentinel knows the replica", async || {
        let question = ["SENTINEL", "REPLICAS", PRIMARY];
        let replicas: Vec<redis::Value> = sentinel.run(&question).await;
        !replicas.is_empty()
    })
    .await;

    let url = format!(
        "redis+sentinel://127.0.0.1:1,{}/{PRIMARY}",
        sentinel.place().join(":")
    );
    let store = store(url);
    eventually("the store answers", async || {
        matches!(
            store.reserve(&reserve(700)).await,
            Ok(Admission::Admitted { .. })
        )
    })
    .await;
    eventually("the replica has it", async || {
        let keys: [u64; 2] = [first.run(&["DBSIZE"]).await, second.run(&["DBSIZE"]).await];
        keys[0] > 0 && keys[0] == keys[1]
    })
    .await;

    first.kill();
    eventually("the replica is the primary", async || {
        role(&second).await == "master" && place_of_primary(&sentinel).await == second.place()
    })
    .await;
    // What was reserved before still counts: 700 of 1,000 leave no room for 400, but for 300.
    eventually("the store answers again", async || {
        match store.reserve(&reserve(400)).await {
            Ok(Admission::Exceeded { .. }) => true,
            Ok(_) => panic!("the counts are lost"),
            Err(_) => false,
        }
    })
    .await;
    let last = store.reserve(&reserve(300)).await.unwrap();
    assert!(matches!(last, Admission::Admitted { .. }));

    // The old one comes back as a replica, and takes nothing.
    first.resume_process().await;
    eventually("the old primary follows", async || {
        role(&first).await == "slave"
    })
    .await;
    assert!(matches!(
        store.reserve(&reserve(1)).await,
        Ok(Admission::Exceeded { .. })
    ));
}

#[tokio::test]
async fn a_name_that_no_sentinel_knows_is_no_store() {
    let server = RedisServer::start().await;
    let sentinel = RedisServer::start_sentinel("another", &server).await;
    let store = store(format!(
        "redis+sentinel://{}/{PRIMARY}",
        sentinel.place().join(":")
    ));
    for _ in 0..5 {
        let error = store.reserve(&reserve(1)).await.unwrap_err();
        let is_down = matches!(error, StoreError::Timeout | StoreError::Unavailable(_));
        assert!(is_down, "{error}");
    }
}
