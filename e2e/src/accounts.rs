//! Service accounts of a test's own cluster, and tokens of all kinds for them.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivatePkcs1KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;

use crate::kubernetes::{Cluster, PLATFORM_NAMESPACE};

/// Whom tokens for a controller are for.
pub const AUDIENCE: &str = "turnpike-controller";

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// A service account in the platform namespace.
#[derive(Debug)]
pub struct Account<'a> {
    cluster: &'a Cluster,
    /// Where the cluster has its files.
    state: PathBuf,
    name: String,
}

impl<'a> Account<'a> {
    /// Makes one in a cluster whose files are in `state`.
    pub async fn create(cluster: &'a Cluster, state: &Path, name: &str) -> Result<Self> {
        let account = Self {
            cluster,
            state: state.to_owned(),
            name: name.to_owned(),
        };
        account.kubectl(&["create", "serviceaccount", name]).await?;
        Ok(account)
    }

    /// A token for a controller, good for an hour.
    pub async fn token(&self) -> Result<String> {
        self.token_for(AUDIENCE).await
    }

    /// A token for another audience.
    pub async fn token_for(&self, audience: &str) -> Result<String> {
        let audience = format!("--audience={audience}");
        let create = ["create", "token", &self.name, "--duration=1h", &audience];
        self.kubectl(&create).await
    }

    /// A token that ends in so many seconds, or so many ago: signed with the cluster's own key,
    /// since the API server makes none for less than ten minutes.
    pub async fn token_until(&self, seconds: i64) -> Result<String> {
        let name = &self.name;
        let get = [
            "get",
            "serviceaccount",
            name,
            "-o",
            "jsonpath={.metadata.uid}",
        ];
        let uid = self.kubectl(&get).await?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let now = i64::try_from(now)?;
        let claims = json!({
            "iss": ISSUER, "aud": [AUDIENCE],
            "sub": format!("system:serviceaccount:{PLATFORM_NAMESPACE}:{name}"),
            "iat": now - 3600, "nbf": now - 3600, "exp": now + seconds,
            "kubernetes.io": {
                "namespace": PLATFORM_NAMESPACE,
                "serviceaccount": {"name": name, "uid": uid}
            }
        });
        self.sign(&claims.to_string())
    }

    fn sign(&self, claims: &str) -> Result<String> {
        let file = self.state.join("pki/sa.key");
        let key = PrivatePkcs1KeyDer::from_pem_file(&file)
            .map_err(|error| anyhow!("{}: {error}", file.display()))?;
        let key =
            RsaKeyPair::from_der(key.secret_pkcs1_der()).map_err(|error| anyhow!("{error}"))?;
        let head = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#);
        let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims));
        let mut signature = vec![0; key.public().modulus_len()];
        let random = SystemRandom::new();
        key.sign(
            &RSA_PKCS1_SHA256,
            &random,
            signed.as_bytes(),
            &mut signature,
        )
        .map_err(|_| anyhow!("signing failed"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        let here = [&["--namespace", PLATFORM_NAMESPACE], arguments].concat();
        let output = self.cluster.kubectl(&here).await;
        output.with_context(|| format!("of service account {}", self.name))
    }
}
