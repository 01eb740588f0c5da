//! Lets a message through to an MCP server if the call token in its header was made for it, whatever its method.

use crate::strict;
use crate::verifier::{NotVerified, Operation, Verifier, scope_of};
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderMap, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::sync::Arc;

const LONGEST_BODY: usize = 4 * 1024 * 1024;
/// Until the signature holds all refusals look the same.
const SAY_NOTHING: [&str; 5] = ["malformed", "algorithm", "key_unknown", "signature", "issuer"];

/// An answer in place of the server's. challenge: empty for none.
struct NoCall {
    status: u16,
    code: i32,
    reason: &'static str,
    message: &'static str,
    challenge: String,
}

/// A middleware. What was verified is an extension of the request, an `Arc<Verified>`.
pub async fn guard(State(verifier): State<Arc<Verifier>>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let mut id = Value::Null;
    let checked = async {
        let token = bearer_token(&parts.headers)?;
        let (operation, bytes) = match parts.method {
            Method::GET => (without_body("io.counterseal/stream"), Default::default()),
            Method::DELETE => (without_body("io.counterseal/end-session"), Default::default()),
            Method::POST => {
                let bytes = to_bytes(body, LONGEST_BODY).await;
                let bytes =
                    bytes.map_err(|_| no_call(413, 41301, "too_large", "the body is too long, or was cut off"))?;
                let message = strict::read(&bytes, 64, 100_000)
                    .map_err(|problem| no_call(400, -32700, "parse_error", problem))?;
                id = message.get("id").filter(|id| id.is_string() || id.is_number()).cloned().unwrap_or_default();
                (
                    operation_of(&message, &bytes)
                        .map_err(|problem| no_call(400, -32600, "invalid_request", problem))?,
                    bytes,
                )
            }
            _ => return Err(no_call(405, 40501, "http_method_refused", "use POST, GET or DELETE")),
        };
        match verifier.verify(token, &operation).await {
            Ok(verified) => Ok((bytes, verified)),
            Err(problem) => Err(refusal_of(problem, &operation)),
        }
    };
    match checked.await {
        Ok((bytes, verified)) => {
            parts.extensions.insert(Arc::new(verified));
            next.run(Request::from_parts(parts, Body::from(bytes))).await
        }
        Err(no_call) => no_call.answer(id),
    }
}

fn bearer_token(headers: &HeaderMap) -> Result<&str, NoCall> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let token = values.next().and_then(|value| value.to_str().ok()).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        let plain = |one: char| one.is_ascii_alphanumeric() || "._~+/=-".contains(one);
        (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.chars().all(plain)).then_some(token)
    });
    if values.next().is_some() {
        return Err(no_call(400, 40001, "ambiguous_credentials", "more than one Authorization header"));
    }
    token.ok_or_else(|| {
        let problem = no_call(401, 40101, "credential_missing", "no call token: send it as a bearer token");
        NoCall { challenge: "Bearer".into(), ..problem }
    })
}

fn without_body(method: &str) -> Operation {
    Operation { method: method.into(), name: None, arguments: None }
}

/// What a message asks for. Who serves it must read it the same way, so what has two readings asks for nothing. text: its
/// own.
fn operation_of(message: &Value, text: &[u8]) -> Result<Operation, &'static str> {
    let message = message.as_object().ok_or("the body is not one JSON object")?;
    let answers = message.contains_key("result") || message.contains_key("error");
    let method = match message.get("method") {
        None if answers => return Ok(without_body("io.counterseal/reply")),
        Some(Value::String(method)) if !answers => method,
        _ => return Err("expected `method` as a string, and no `result`"),
    };
    let none = Value::Object(Default::default());
    let params = message.get("params").unwrap_or(&none);
    if !params.is_object() {
        return Err("expected `params` as an object");
    }
    let (holder, member) = match method.as_str() {
        "tools/call" | "prompts/get" => (params, "name"),
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => (params, "uri"),
        "completion/complete" => match params["ref"]["type"].as_str() {
            Some("ref/prompt") => (&params["ref"], "name"),
            Some("ref/resource") => (&params["ref"], "uri"),
            _ => return Err("expected `params.ref` as a reference to a prompt or resource"),
        },
        _ => return Ok(without_body(method)),
    };
    let name = holder.get(member).and_then(Value::as_str).ok_or("expected a name, or a uri, as a string")?;
    let mut arguments = None;
    if ["tools/call", "prompts/get"].contains(&method.as_str()) && params.get("arguments").is_some() {
        if !params["arguments"].is_object() {
            return Err("expected `params.arguments` as an object");
        }
        // Their text, because a value has rounded what is too large.
        let message: Message = serde_json::from_slice(text).map_err(|_| "not JSON")?;
        arguments = Some(message.params.arguments);
    }
    Ok(Operation { method: method.clone(), name: Some(name.into()), arguments })
}

#[derive(Deserialize)]
struct Message {
    params: Params,
}

#[derive(Deserialize)]
struct Params {
    arguments: Box<RawValue>,
}

fn refusal_of(problem: NotVerified, operation: &Operation) -> NoCall {
    let status = problem.status();
    let code = i32::from(status) * 100 + 50;
    let (reason, message) = match problem {
        NotVerified::CannotTell(message) => {
            eprintln!("a call could not be verified: {message}");
            return no_call(status, code, "unavailable", "the call token cannot be verified now");
        }
        NotVerified::Refused(reason, message) => (reason, message),
    };
    eprintln!("a call was refused: {reason}: {message}");
    let mut challenge = "Bearer error=\"invalid_token\"".to_string();
    if status == 403 {
        challenge = "Bearer error=\"insufficient_scope\"".into();
        let scope = scope_of(operation);
        if scope.len() <= 512 {
            challenge += &format!(", scope=\"{scope}\"");
        }
    }
    let hidden = SAY_NOTHING.contains(&reason);
    let (reason, message) =
        if hidden { ("invalid_token", "the call token is not valid here") } else { (reason, message) };
    NoCall { challenge, ..no_call(status, code, reason, message) }
}

fn no_call(status: u16, code: i32, reason: &'static str, message: &'static str) -> NoCall {
    NoCall { status, code, reason, message, challenge: String::new() }
}

impl NoCall {
    /// id: that of the message.
    fn answer(self, id: Value) -> Response {
        let error = json!({"code": self.code, "message": self.message, "data": {"reason": self.reason}});
        let body = json!({"jsonrpc": "2.0", "id": id, "error": error}).to_string();
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
        let mut answer = (status, headers, body).into_response();
        let mut add = |name, value: &str| answer.headers_mut().extend(value.parse().ok().map(|value| (name, value)));
        match self.status {
            503 => add(RETRY_AFTER, "5"),
            405 => add(ALLOW, "POST, GET, DELETE"),
            _ if !self.challenge.is_empty() => add(WWW_AUTHENTICATE, &self.challenge),
            _ => {}
        }
        answer
    }
}
