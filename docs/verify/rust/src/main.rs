//! An MCP server that takes nothing but calls that the gateway countersigned. On the official SDK, in both eras of MCP.
//!
//!     weather --port 9000 --issuer https://gateway.example.com --audience https://weather.example.com/mcp
//!     weather vectors < vectors.jsonl

mod guard;
mod keys;
mod strict;
mod vectors;
mod verifier;

use axum::http::request::Parts;
use rmcp::handler::server::tool::Extension;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{schemars, tool, tool_router};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use verifier::{Verified, Verifier};

#[derive(Clone)]
struct Weather;

#[derive(serde::Deserialize, schemars::JsonSchema)]
struct Asked {
    city: String,
}

#[tool_router(server_handler)]
impl Weather {
    /// The weather in a city.
    #[tool]
    fn get_weather(
        &self,
        Parameters(asked): Parameters<Asked>,
        Extension(parts): Extension<Parts>,
    ) -> Result<String, String> {
        let verified = parts.extensions.get::<Arc<Verified>>().ok_or("nothing was verified")?;
        println!("get_weather was called for {}", verified.subject);
        Ok(format!("{} for {}", asked.city, verified.subject))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == ["vectors"] {
        return vectors::run().await;
    }
    let options: HashMap<_, _> = arguments.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].clone())).collect();
    let (Some(port), Some(issuer), Some(audience)) =
        (options.get("--port"), options.get("--issuer"), options.get("--audience"))
    else {
        return Err("usage: weather --port PORT --issuer ISSUER --audience AUDIENCE".into());
    };
    let verifier = Arc::new(Verifier {
        issuer: issuer.clone(),
        audience: audience.clone(),
        keys: keys::Keys::of(issuer)?,
        required_claims: HashMap::new(),
        require_arguments: true,
        now: Box::new(|| {
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(f64::INFINITY, |since| since.as_secs_f64())
        }),
        used: Default::default(),
    });
    let config = StreamableHttpServerConfig::default().with_legacy_session_mode(false).with_json_response(true);
    let mcp = StreamableHttpService::new(|| Ok(Weather), Arc::new(NeverSessionManager::default()), config);
    let app = axum::Router::new()
        .route_service("/mcp", mcp)
        .layer(axum::middleware::from_fn_with_state(verifier, guard::guard));
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).await?;
    Ok(())
}
