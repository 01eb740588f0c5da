//! Runs test vectors, one JSON object a line of standard input, through the very same verifier. It prints `ID accept`,
//! `ID refuse REASON` or `ID cannot_tell` for each.

use crate::keys::Keys;
use crate::verifier::{NotVerified, Operation, Verifier};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;

#[derive(Deserialize)]
struct Presented {
    call: Operation,
    token: String,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Options {
    required_claims: HashMap<String, Value>,
    require_arguments: Option<bool>,
}

#[derive(Deserialize)]
struct Vector {
    id: String,
    issuer: String,
    audience: String,
    now: f64,
    jwks: Value,
    #[serde(default)]
    options: Options,
    #[serde(default)]
    after: Vec<Presented>,
    call: Operation,
    token: String,
}

pub async fn run() -> Result<(), Box<dyn std::error::Error>> {
    for line in std::io::stdin().lines() {
        let vector: Vector = serde_json::from_str(&line?)?;
        let jwks = vector.jwks.to_string();
        let verifier = Verifier {
            issuer: vector.issuer,
            audience: vector.audience,
            keys: Keys::new(Box::new(move || Ok(jwks.clone().into_bytes()))),
            required_claims: vector.options.required_claims,
            require_arguments: vector.options.require_arguments.unwrap_or(true),
            now: Box::new(move || vector.now),
            used: Default::default(),
        };
        for before in vector.after {
            outcome(&verifier, &before.token, &before.call).await;
        }
        println!("{} {}", vector.id, outcome(&verifier, &vector.token, &vector.call).await);
    }
    Ok(())
}

async fn outcome(verifier: &Verifier, token: &str, call: &Operation) -> String {
    match verifier.verify(token, call).await {
        Ok(_) => "accept".into(),
        Err(NotVerified::Refused(reason, _)) => format!("refuse {reason}"),
        Err(NotVerified::CannotTell(_)) => "cannot_tell".into(),
    }
}
