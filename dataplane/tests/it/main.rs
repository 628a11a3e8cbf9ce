//! Integration tests of the data plane: real sockets, a real redis-server. One file a subject.

#![expect(
    clippy::unwrap_used,
    reason = "clippy spares tests, but not the functions they share"
)]

mod listen_door;
mod listen_floods;
mod quota_redis;
mod quota_sentinel;
mod quota_server;
mod request_answers;
mod request_anthropic;
mod request_clouds;
mod request_drain;
mod request_failover;
mod request_faults;
mod request_gateway;
mod request_halts;
mod request_hangup;
mod request_heartbeat;
mod request_leavers;
mod request_overload;
mod request_provider;
mod request_quota_down;
mod request_refusals;
mod request_secrets;
mod request_service;
mod request_socket;
mod request_socket_ends;
mod request_socket_http2;
mod request_socket_parties;
mod request_socket_quota;
mod request_suspension;
mod request_templates;
mod request_uploads;
mod request_wire;
mod request_world;
mod store_controller;
mod store_disk;
mod store_eviction;
mod store_floods;
mod store_link;
mod store_load;
mod store_run;
mod store_snapshots;
mod store_trust;
mod upstream_http2;
mod upstream_proxy;
mod upstream_tls;
