//! The gateway's public keys: fetched when the first token comes, kept for five minutes, and fetched once more for a `kid`
//! that is not there, at most every 30 seconds. However many calls wait, one fetch runs. While keys can't be had, old ones
//! serve for an hour.

use crate::strict;
use crate::verifier::NotVerified::{self, CannotTell, Refused};
use aws_lc_rs::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

const FRESH: Duration = Duration::from_secs(300);
const STALE: Duration = Duration::from_secs(3600);
const COOL_DOWN: Duration = Duration::from_secs(30);
const LONGEST_JWKS: u64 = 262_144;

type Load = Box<dyn Fn() -> Result<Vec<u8>, String> + Send + Sync>;

/// One that can verify, with the algorithm that it says it is for: the token has no word in that.
pub struct Key {
    kid: Option<String>,
    alg: String,
    verifies: Box<dyn Fn(&[u8], &[u8]) -> bool + Send + Sync>,
}

impl Key {
    /// A raw JWS signature (RFC 7518 section 3).
    pub fn verifies(&self, signed: &[u8], signature: &[u8]) -> bool {
        (self.verifies)(signed, signature)
    }
}

#[derive(Default)]
struct Held {
    keys: Vec<Arc<Key>>,
    fetched_at: Option<Instant>,
    failed_at: Option<Instant>,
}

pub struct Keys {
    load: Arc<Load>,
    held: RwLock<Held>,
    /// Who fetches holds it. In it: when there was a fetch for a `kid` that was not there.
    fetching: Mutex<Option<Instant>>,
}

impl Keys {
    /// load: gets the JWKS. It may block.
    pub fn new(load: Load) -> Keys {
        Keys { load: Arc::new(load), held: RwLock::default(), fetching: Mutex::default() }
    }

    /// The keys under the issuer's well-known address: https, or http on this machine.
    pub fn of(issuer: &str) -> Result<Keys, String> {
        let address = format!("{}/.well-known/jwks.json", issuer.trim_end_matches('/'));
        let uri: axum::http::Uri = address.parse().map_err(|_| "the issuer is no address")?;
        let loopback = matches!(uri.host(), Some("127.0.0.1" | "[::1]" | "localhost"));
        if !(uri.scheme_str() == Some("https") || uri.scheme_str() == Some("http") && loopback) {
            return Err("the issuer must be an https address, or http on this machine".into());
        }
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client: ureq::Agent = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(5)))
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .build()
            .into();
        Ok(Keys::new(Box::new(move || {
            let mut answer = client.get(&address).call().map_err(|error| error.to_string())?;
            if answer.status() != 200 {
                return Err(format!("status {}", answer.status()));
            }
            answer.body_mut().with_config().limit(LONGEST_JWKS).read_to_vec().map_err(|error| error.to_string())
        })))
    }

    /// The key of a `kid`, or without one the only key for the algorithm.
    pub async fn find(&self, alg: &str, kid: Option<&str>) -> Result<Arc<Key>, NotVerified> {
        if !is_known(alg) {
            return Err(Refused("algorithm", "not an algorithm that is taken here"));
        }
        if self.age() >= FRESH || self.look(alg, kid).is_none() {
            let mut refetched_at = self.fetching.lock().await; // whoever waited looks again
            if self.age() >= FRESH {
                let pause = if self.age() < FRESH + STALE { COOL_DOWN } else { Duration::from_secs(1) };
                if since(self.held.read().unwrap().failed_at) >= pause {
                    self.fetch().await;
                }
            } else if self.look(alg, kid).is_none() && since(*refetched_at) >= COOL_DOWN {
                *refetched_at = Some(Instant::now());
                self.fetch().await;
            }
        }
        if self.age() >= FRESH + STALE {
            return Err(CannotTell("the gateway's keys cannot be had"));
        }
        match self.look(alg, kid) {
            Some(key) if same(&key.alg) == same(alg) => Ok(key),
            Some(_) => Err(Refused("algorithm", "the key is not for the token's algorithm")),
            None if self.held.read().unwrap().failed_at.is_some() => {
                Err(CannotTell("an unknown key, and the gateway's keys cannot be had"))
            }
            None => Err(Refused("key_unknown", "no key has the token's kid")),
        }
    }

    fn look(&self, alg: &str, kid: Option<&str>) -> Option<Arc<Key>> {
        let held = self.held.read().unwrap();
        let mut fit = held.keys.iter().filter(|key| match kid {
            Some(kid) => key.kid.as_deref() == Some(kid),
            None => same(&key.alg) == same(alg),
        });
        match (fit.next(), fit.next()) {
            (Some(key), None) => Some(key.clone()),
            _ => None, // two keys of one kid: neither is named by it
        }
    }

    fn age(&self) -> Duration {
        since(self.held.read().unwrap().fetched_at)
    }

    async fn fetch(&self) {
        let load = self.load.clone();
        let loaded = tokio::task::spawn_blocking(move || load()).await;
        let read =
            loaded.map_err(|error| error.to_string()).and_then(|loaded| loaded).and_then(|text| read_keys(&text));
        let mut held = self.held.write().unwrap();
        match read {
            Ok(keys) => *held = Held { keys, fetched_at: Some(Instant::now()), failed_at: None },
            Err(problem) => {
                held.failed_at = Some(Instant::now());
                eprintln!("the gateway's keys could not be fetched: {problem}");
            }
        }
    }
}

fn since(then: Option<Instant>) -> Duration {
    then.map_or(Duration::MAX, |then| then.elapsed())
}

/// The keys that can verify. What is not for that, or should never have been published, costs the others nothing.
fn read_keys(text: &[u8]) -> Result<Vec<Arc<Key>>, String> {
    let document = strict::read(text, 16, 10_000)?;
    let entries = document["keys"].as_array().ok_or("not a JWKS")?;
    let keys: Vec<Arc<Key>> = entries.iter().filter_map(read_key).map(Arc::new).collect();
    if keys.len() < entries.len() {
        eprintln!("keys of the gateway were dropped: {}, none that can verify here", entries.len() - keys.len());
    }
    if keys.is_empty() { Err("no usable key".into()) } else { Ok(keys) }
}

fn read_key(entry: &Value) -> Option<Key> {
    let alg = entry["alg"].as_str()?;
    let private = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"].iter().any(|name| entry.get(name).is_some());
    if private
        || entry.get("use").is_some_and(|purpose| purpose != "sig")
        || !entry.get("kid").is_none_or(Value::is_string)
    {
        return None;
    }
    let bytes = |name: &str| BASE64_URL_SAFE_NO_PAD.decode(entry[name].as_str()?).ok();
    let verifies: Box<dyn Fn(&[u8], &[u8]) -> bool + Send + Sync> = match entry["kty"].as_str()? {
        "RSA" => {
            let parameters = match alg {
                "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
                "RS384" => &signature::RSA_PKCS1_2048_8192_SHA384,
                "RS512" => &signature::RSA_PKCS1_2048_8192_SHA512,
                "PS256" => &signature::RSA_PSS_2048_8192_SHA256,
                "PS384" => &signature::RSA_PSS_2048_8192_SHA384,
                "PS512" => &signature::RSA_PSS_2048_8192_SHA512,
                _ => return None,
            };
            let key = RsaPublicKeyComponents { n: bytes("n")?, e: bytes("e")? };
            if key.n.len() < 256 || key.n[0] == 0 {
                return None; // fewer than 2048 bits
            }
            Box::new(move |signed, raw| key.verify(parameters, signed, raw).is_ok())
        }
        "EC" => {
            let (parameters, curve, length) = match alg {
                "ES256" => (&signature::ECDSA_P256_SHA256_FIXED, "P-256", 32),
                "ES384" => (&signature::ECDSA_P384_SHA384_FIXED, "P-384", 48),
                "ES512" => (&signature::ECDSA_P521_SHA512_FIXED, "P-521", 66),
                _ => return None,
            };
            let (x, y) = (bytes("x")?, bytes("y")?);
            if entry["crv"] != curve || x.len() != length || y.len() != length {
                return None;
            }
            let key = UnparsedPublicKey::new(parameters, [&[4], x.as_slice(), y.as_slice()].concat());
            key.parse().ok()?; // else a point that is not on the curve would only fail each signature
            Box::new(move |signed, raw| key.verify(signed, raw).is_ok())
        }
        "OKP" if same(alg) == "Ed25519" && entry["crv"] == "Ed25519" => {
            let key = UnparsedPublicKey::new(&signature::ED25519, bytes("x")?);
            key.parse().ok()?;
            Box::new(move |signed, raw| key.verify(signed, raw).is_ok())
        }
        _ => return None,
    };
    Some(Key { kid: entry["kid"].as_str().map(String::from), alg: alg.into(), verifies })
}

fn is_known(alg: &str) -> bool {
    let hashed = |scheme: &str| alg.strip_prefix(scheme).is_some_and(|hash| ["256", "384", "512"].contains(&hash));
    same(alg) == "Ed25519" || hashed("RS") || hashed("PS") || hashed("ES")
}

/// RFC 9864's name for RFC 8037's: they are of one algorithm.
fn same(alg: &str) -> &str {
    if alg == "EdDSA" { "Ed25519" } else { alg }
}
