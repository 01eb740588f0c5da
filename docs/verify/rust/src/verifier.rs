//! Checks a call token against the call that came with it, in the order of docs/verifying.md. Single use comes last: only a
//! token that was good for this call is used up by it.

use crate::keys::Keys;
use crate::strict;
use NotVerified::{CannotTell, Refused};
use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::Mutex;
use unicode_general_category::{GeneralCategory as Category, get_general_category};

const LEEWAY: f64 = 30.0;
const LONGEST_LIFE: f64 = 900.0;
const MOST_USED: usize = 200_000;
const FORBIDDEN: [&str; 7] = ["crit", "b64", "zip", "enc", "jwk", "jku", "x5u"];

/// What a call asks for. name: of the tool or prompt, or the resource's URI. arguments: the JSON as it came.
#[derive(serde::Deserialize)]
pub struct Operation {
    pub method: String,
    pub name: Option<String>,
    pub arguments: Option<Box<RawValue>>,
}

/// What a token said that was good for its call. actors: the immediate one first.
#[allow(dead_code)] // the example looks at the subject alone
pub struct Verified {
    pub subject: String,
    pub actors: Vec<String>,
    pub client_id: String,
    pub scope: String,
    pub jti: String,
    pub txn: String,
    pub expires: f64,
    pub claims: Map<String, Value>,
}

/// Let nothing through. Refused: a reason and words about it; the token is bad, or good for another call, and nothing of it is
/// quoted. CannotTell: 503, and never a pass.
pub enum NotVerified {
    Refused(&'static str, &'static str),
    CannotTell(&'static str),
}

impl NotVerified {
    pub fn status(&self) -> u16 {
        match self {
            Refused("scope" | "operation" | "arguments", _) => 403,
            Refused(..) => 401,
            CannotTell(_) => 503,
        }
    }
}

/// required_claims: what a token must say besides: path -> the value, or a list of those of which one will do, or null for any.
/// require_arguments: false for a gateway with `bind_arguments: false`. now: seconds since 1970.
pub struct Verifier {
    pub issuer: String,
    pub audience: String,
    pub keys: Keys,
    pub required_claims: HashMap<String, Value>,
    pub require_arguments: bool,
    pub now: Box<dyn Fn() -> f64 + Send + Sync>,
    pub used: Mutex<HashMap<String, f64>>, // jti -> when it may be forgotten
}

impl Verifier {
    pub async fn verify(&self, token: &str, operation: &Operation) -> Result<Verified, NotVerified> {
        let (typ, claims) = self.signed(token).await?;
        self.check_claims(&claims, typ.as_deref())?;
        let actors = self.check_shape(&claims)?;
        self.check_operation(&claims, operation)?;
        let expires = claims["exp"].as_f64().unwrap_or_default();
        let text = |name: &str| claims[name].as_str().unwrap_or_default().to_string();
        self.use_up(text("jti"), expires + LEEWAY)?;
        let (subject, client_id, scope) = (text("sub"), text("client_id"), text("scope"));
        Ok(Verified { subject, actors, client_id, scope, jti: text("jti"), txn: text("txn"), expires, claims })
    }

    /// Form, key and signature.
    async fn signed(&self, token: &str) -> Result<(Option<String>, Map<String, Value>), NotVerified> {
        let malformed = Refused("malformed", "not a compact JWS of strict JSON in canonical base64url");
        let parts: Vec<&str> = token.split('.').collect();
        let raw: Vec<Vec<u8>> = parts.iter().filter_map(|part| BASE64_URL_SAFE_NO_PAD.decode(part).ok()).collect();
        let ([_, _, _], [header, payload, signature]) = (parts.as_slice(), raw.as_slice()) else {
            return Err(malformed);
        };
        let (Some(header), Some(claims)) = (read_object(header), read_object(payload)) else {
            return Err(malformed);
        };
        let fine = ["alg", "kid", "typ"].iter().all(|name| header.get(*name).is_none_or(Value::is_string));
        let kid = header.get("kid").and_then(Value::as_str);
        let too_long = token.len() > 8192 || kid.is_some_and(|kid| kid.chars().count() > 512);
        let Some(alg) =
            header.get("alg").and_then(Value::as_str).filter(|_| fine && !too_long && !signature.is_empty())
        else {
            return Err(malformed);
        };
        if FORBIDDEN.iter().any(|name| header.contains_key(*name)) {
            return Err(Refused("malformed", "a header that chooses a key or changes the meaning"));
        }
        let key = self.keys.find(alg, kid).await?;
        let signed = &token.as_bytes()[..parts[0].len() + 1 + parts[1].len()];
        if !key.verifies(signed, signature) {
            return Err(Refused("signature", "the signature does not verify"));
        }
        Ok((header.get("typ").and_then(Value::as_str).map(str::to_lowercase), claims))
    }

    fn check_claims(&self, claims: &Map<String, Value>, typ: Option<&str>) -> Result<(), NotVerified> {
        if claims.get("iss") != Some(&json!(self.issuer)) {
            return Err(Refused("issuer", "`iss` is not this gateway"));
        }
        if typ.map(|typ| typ.strip_prefix("application/").unwrap_or(typ)) != Some("at+jwt") {
            return Err(Refused("typ", "`typ` is not at+jwt"));
        }
        if claims.contains_key("events") {
            return Err(Refused("typ", "a security event, not an access token"));
        }
        if claims.get("aud") != Some(&json!(self.audience)) {
            return Err(Refused("audience", "`aud` is not this server, as one string"));
        }
        self.check_times(claims)?;
        if !claims.get("sub").and_then(Value::as_str).is_some_and(|sub| is_name(sub) && !sub.chars().any(is_unseen)) {
            return Err(Refused("subject", "`sub` is not a string of 1 to 255 visible characters"));
        }
        if claims.contains_key("cnf") {
            return Err(Refused("confirmation", "the token is bound to a key and came without the proof"));
        }
        Ok(())
    }

    fn check_times(&self, claims: &Map<String, Value>) -> Result<(), NotVerified> {
        let date = |name: &str| match claims.get(name).map(Value::as_f64) {
            None => Ok(None),
            Some(Some(seconds)) if (0.0..=253402300799.0).contains(&seconds) => Ok(Some(seconds)),
            Some(_) => Err(Refused("time", "`exp`, `nbf` or `iat` is not a number of seconds")),
        };
        let (exp, nbf, iat) = (date("exp")?, date("nbf")?, date("iat")?);
        let exp = exp.ok_or(Refused("time", "`exp` is missing"))?;
        let Some(iat) = iat.filter(|iat| *iat <= exp && exp - iat <= LONGEST_LIFE && nbf.is_none_or(|nbf| nbf <= exp))
        else {
            return Err(Refused("lifetime", "it lives too long, or contradicts itself"));
        };
        let now = (self.now)();
        if now >= exp + LEEWAY {
            return Err(Refused("expired", "the token is over"));
        }
        if now < iat.max(nbf.unwrap_or(iat)) - LEEWAY {
            return Err(Refused("not_yet_valid", "`nbf` or `iat` is in the future"));
        }
        Ok(())
    }

    /// What every call token has besides, and what this server asks for; the actors.
    fn check_shape(&self, claims: &Map<String, Value>) -> Result<Vec<String>, NotVerified> {
        for name in ["client_id", "jti", "txn"] {
            if !claims.get(name).and_then(Value::as_str).is_some_and(is_name) {
                return Err(Refused("claim", "`client_id`, `jti` or `txn` is not a string of 1 to 255 characters"));
            }
        }
        if !claims.get("scope").is_some_and(Value::is_string) {
            return Err(Refused("scope", "`scope` is not a string"));
        }
        let mut actors = Vec::new();
        let mut act = claims.get("act");
        while actors.is_empty() || act.is_some_and(|act| !act.is_null()) {
            let name = act.and_then(|act| act.get("sub").or(act.get("client_id"))).and_then(Value::as_str);
            match name {
                Some(name) if !name.is_empty() && actors.len() < 4 => actors.push(name.to_string()),
                _ => return Err(Refused("actor", "`act` is not a chain of 1 to 4 actors with a name")),
            }
            act = act.and_then(|act| act.get("act"));
        }
        for (path, allowed) in &self.required_claims {
            let steps: Vec<&str> = if path.contains("://") { vec![path] } else { path.split('.').collect() };
            let held = steps[1..].iter().fold(claims.get(steps[0]), |held, step| held?.as_object()?.get(*step));
            let said = match held {
                Some(Value::Array(list)) => list.as_slice(),
                one => one.map_or(&[][..], std::slice::from_ref),
            };
            let fits = match allowed {
                Value::Null => true,
                Value::Array(allowed) => said.iter().any(|one| allowed.contains(one)),
                allowed => said.contains(allowed),
            };
            if held.is_none_or(is_nothing) || !fits {
                return Err(Refused("claim", "a claim that this server asks for is missing, or says something else"));
            }
        }
        Ok(actors)
    }

    fn check_operation(&self, claims: &Map<String, Value>, operation: &Operation) -> Result<(), NotVerified> {
        if claims.get("scope") != Some(&json!(scope_of(operation))) {
            return Err(Refused("scope", "the token's scope is for another operation"));
        }
        let Some([Value::Object(bound)]) =
            claims.get("authorization_details").and_then(Value::as_array).map(Vec::as_slice)
        else {
            return Err(Refused("operation", "`authorization_details` is not a list of one object"));
        };
        let mut bound = bound.clone();
        let digest_claim = bound.remove("arguments_digest");
        let mut expected = json!({"type": "mcp_call", "locations": [self.audience], "actions": [operation.method]});
        if let Some(name) = &operation.name {
            expected["identifier"] = json!(name);
        }
        if Value::Object(bound) != expected {
            return Err(Refused("operation", "the token is for another method, name or server"));
        }
        let has_arguments = ["tools/call", "prompts/get"].contains(&operation.method.as_str());
        match digest_claim {
            Some(_) if !has_arguments => {
                Err(Refused("arguments", "the token binds arguments, and this method has none"))
            }
            None if has_arguments && self.require_arguments => {
                Err(Refused("arguments", "the token does not bind the arguments"))
            }
            None => Ok(()),
            Some(said) => {
                let form = strict::canonical(operation.arguments.as_deref())
                    .map_err(|_| Refused("arguments", "the arguments have no canonical form"))?;
                let hash = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, form.as_bytes()));
                if said != format!("sha-256:{hash}") {
                    return Err(Refused("arguments", "the token is for other arguments"));
                }
                Ok(())
            }
        }
    }

    /// In this process alone: several that serve one audience need a store to share. Full, it forgets no living token.
    fn use_up(&self, jti: String, until: f64) -> Result<(), NotVerified> {
        let mut used = self.used.lock().unwrap();
        if used.contains_key(&jti) {
            return Err(Refused("replayed", "the token was used before"));
        }
        if used.len() >= MOST_USED {
            let now = (self.now)();
            used.retain(|_, end| *end > now);
            if used.len() >= MOST_USED {
                return Err(CannotTell("the memory of used tokens is full"));
            }
        }
        used.insert(jti, until);
        Ok(())
    }
}

/// The scope for a call. A tool's name is percent-encoded, all but letters, digits and `-._~`, so no two share one.
pub fn scope_of(operation: &Operation) -> String {
    match (&*operation.method, &operation.name) {
        ("tools/call", Some(name)) => format!("mcp:tools/call:{}", encode(name)),
        (method, _) => format!("mcp:{}", encode(method).replace("%2F", "/")),
    }
}

fn encode(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

fn read_object(text: &[u8]) -> Option<Map<String, Value>> {
    match strict::read(text, 16, 256) {
        Ok(Value::Object(object)) => Some(object),
        _ => None,
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= 255
}

fn is_unseen(one: char) -> bool {
    use Category::{Control, Format, LineSeparator, ParagraphSeparator};
    matches!(get_general_category(one), Control | Format | LineSeparator | ParagraphSeparator)
}

fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(object) => object.is_empty(),
        _ => false,
    }
}
