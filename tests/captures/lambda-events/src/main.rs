//! Writes a delivery as the events that AWS hands to a Lambda function, through the types of
//! `aws_lambda_events`: one JSON text for each.
//!
//! `lambda-events NAME TIMESTAMP SIGNATURE NONCE < BODY`

use std::{
    env,
    io::{self, Read},
};

use aws_lambda_events::{
    alb::AlbTargetGroupRequest,
    apigw::{ApiGatewayProxyRequest, ApiGatewayV2httpRequest},
    http::{HeaderMap, HeaderName, HeaderValue, Method},
    lambda_function_urls::LambdaFunctionUrlRequest,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let [_, name, timestamp, signature, nonce] = <[String; 5]>::try_from(env::args().collect::<Vec<_>>())
        .map_err(|_| "usage: NAME TIMESTAMP SIGNATURE NONCE")?;
    let mut body = String::new();
    io::stdin().read_to_string(&mut body)?;
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "application/json"),
        ("host", "hooks.example.com"),
        ("x-forwarded-for", "198.51.100.7"),
        ("x-twenty-webhook-timestamp", &*timestamp),
        ("x-twenty-webhook-signature", &*signature),
        ("x-twenty-webhook-nonce", &*nonce),
    ] {
        headers.insert(HeaderName::from_bytes(name.as_bytes())?, HeaderValue::from_str(value)?);
    }
    let (form, is_base64) = name.strip_suffix("-base64").map_or((&*name, false), |form| (form, true));
    let body = Some(if is_base64 { base64(body.as_bytes()) } else { body });
    // The types cannot be written down from outside of their crate.
    let event = match form {
        "rest" => {
            let mut event = ApiGatewayProxyRequest::default();
            event.resource = Some("/webhooks/{proxy+}".to_owned());
            event.path = Some("/webhooks/twenty".to_owned());
            event.http_method = Method::POST;
            event.request_context.http_method = Method::POST;
            event.request_context.stage = Some("prod".to_owned());
            (event.headers, event.multi_value_headers) = (headers.clone(), headers);
            (event.body, event.is_base64_encoded) = (body, is_base64);
            serde_json::to_string(&event)?
        }
        "http-api" => {
            let mut event = ApiGatewayV2httpRequest::default();
            event.version = Some("2.0".to_owned());
            event.route_key = Some("$default".to_owned());
            event.raw_path = Some("/webhooks/twenty".to_owned());
            event.request_context.http.method = Method::POST;
            event.request_context.http.path = Some("/webhooks/twenty".to_owned());
            event.headers = headers;
            (event.body, event.is_base64_encoded) = (body, is_base64);
            serde_json::to_string(&event)?
        }
        "alb" | "alb-multi-value" => {
            let mut event = AlbTargetGroupRequest::default();
            event.http_method = Method::POST;
            event.path = Some("/webhooks/twenty".to_owned());
            *(if form == "alb" { &mut event.headers } else { &mut event.multi_value_headers }) = headers;
            (event.body, event.is_base64_encoded) = (body, is_base64);
            serde_json::to_string(&event)?
        }
        "function-url" => {
            let mut event = LambdaFunctionUrlRequest::default();
            event.version = Some("2.0".to_owned());
            event.raw_path = Some("/webhooks/twenty".to_owned());
            event.request_context.http.method = Some("POST".to_owned());
            event.headers = headers;
            (event.body, event.is_base64_encoded) = (body, is_base64);
            serde_json::to_string(&event)?
        }
        other => return Err(format!("no event is called {other}").into()),
    };
    println!("{event}");
    Ok(())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        text.extend((0..=chunk.len()).map(|at| char::from(DIGITS[(bits >> (18 - 6 * at) & 63) as usize])));
        text.push_str(&"=="[..3 - chunk.len()]);
    }
    text
}
