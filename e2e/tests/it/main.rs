//! The whole gateway against a real API server, Redis and SDK. Each module shows one thing; each
//! test has a namespace of its own.

mod bench_fleet;
mod crd_mistakes;
mod explain_cluster;
mod fault_broken;
mod fault_client;
mod fault_clocks;
mod fault_controller;
mod fault_flood;
mod fault_frozen;
mod fault_kills;
mod fault_provider;
mod fault_rebirth;
mod fault_silence;
mod fault_wipe;
mod harness;
mod provider_addresses;
mod quota_parallel;
mod quota_redis;
mod replicas_lease;
mod replicas_report;
mod route_main_job;
mod route_matching;
mod route_templates;
mod secrets_stay_secret;
mod standalone_check;
mod standalone_explain;
mod standalone_serve;
mod status_conditions;
mod status_events;
mod status_ready;
mod status_refusals;
mod status_restart;
mod tenants_layouts;
mod trust_accounts;
mod trust_rotation;
