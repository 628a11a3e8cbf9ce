//! The whole system against real parts: a Kubernetes API server, redis-server, the OpenAI SDK
//! and scripted model providers. The tests are in `tests/it`; `bench` holds the benchmarks.

pub mod accounts;
pub mod bench;
pub mod browser;
pub mod eventually;
pub mod fleet;
pub mod flood;
pub mod gateway;
pub mod kubernetes;
pub mod lossy;
pub mod node;
pub mod objects;
pub mod places;
pub mod pods;
pub mod ports;
pub mod process;
pub mod provider;
pub mod python;
pub mod redis;
pub mod resources;
pub mod scene;
pub mod secure;
pub mod vendors;

mod guard;

pub use crate::eventually::eventually;
pub use crate::gateway::{Answer, Call, Gateway};
pub use crate::process::{Process, Program};
pub use crate::provider::{Behaviour, Provider};
pub use crate::redis::Redis;
pub use crate::scene::{FileScene, Scene};
