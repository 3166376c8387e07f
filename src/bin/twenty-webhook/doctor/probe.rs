//! Checks the target's address, and its response to a request that no receiver acts on.

use std::net::{IpAddr, Ipv4Addr};

use axum::http::{HeaderMap, Method};
use bytes::Bytes;
use jiff::SignedDuration;

use super::{
    ahead,
    report::{Report, Status},
};
use crate::{
    client::{Answer, Client, PostError},
    output::Failure,
    target::Target,
    time::format_duration,
};

/// Checks the scheme and the host. If `resolves` is true, the host's name is resolved.
pub(super) async fn check_address(
    target: &Target,
    webhook: Option<&str>,
    resolves: bool,
    report: &mut Report,
) -> Result<(), Failure> {
    let host = report.shown(target.host());
    let mut add = |check, status, text: String, advice: &str| match webhook {
        Some(id) => report.webhook(check, status, id, text, advice),
        None => report.add(check, status, text, advice),
    };
    if target.uri().scheme_str() == Some("https") {
        add("scheme", Status::Ok, "the target uses https".to_owned(), "")?;
    } else {
        let advice = "Records are personal data, and http:// does not encrypt them";
        add("scheme", Status::Warn, "the target uses http".to_owned(), advice)?;
    }
    let addresses = match target.host_ip() {
        Some(ip) => vec![ip],
        None if target.is_loopback() => vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
        None if !resolves => return Ok(()),
        None => match tokio::net::lookup_host((target.host(), target.port())).await {
            Ok(addresses) => addresses.map(|address| address.ip()).collect(),
            Err(error) => {
                let text = format!("the name {host} cannot be resolved: {error}");
                return add(
                    "address",
                    Status::Fail,
                    text,
                    "Check the name, and the DNS of the machine that Twenty runs on",
                );
            }
        },
    };
    match addresses.iter().find(|ip| is_private(**ip)) {
        Some(ip) => {
            let advice = "Twenty's safe mode, which is on by default since September 2026, blocks private addresses. \
                          If you host Twenty yourself, add the host to OUTBOUND_HTTP_ALLOWED_INTERNAL_HOSTS, also on \
                          the worker. Otherwise use a public address or a tunnel";
            let text = if host == ip.to_string() {
                format!("{host} is a private address")
            } else {
                format!("{host} is {ip}, a private address")
            };
            add("address", Status::Warn, text, advice)
        }
        None => add("address", Status::Ok, format!("{host} is a public address, as seen from this machine"), ""),
    }
}

/// Returns whether the address is private: in other networks, it leads to another machine or to
/// none.
pub(crate) fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let is_shared = matches!(ip.octets(), [100, 64..=127, ..]);
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || is_shared
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unspecified() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Connects, sends a GET, and checks the response. Returns how far the receiver's clock is ahead of
/// this machine's.
pub(super) async fn check_answer(target: &Target, report: &mut Report) -> Result<Option<SignedDuration>, Failure> {
    let is_https = target.uri().scheme_str() == Some("https");
    let answer = match get(target).await? {
        Ok(answer) => answer,
        Err(error) => {
            let (check, advice) = if error.is_about_certificate() {
                (
                    "certificate",
                    "Twenty rejects a certificate that no public authority has signed, that has expired, or that is for \
                     another name. The server must also send the intermediate certificates",
                )
            } else {
                (
                    "connection",
                    "Check the port, the firewall, and whether the receiver listens on more than 127.0.0.1. This was \
                     checked from this machine; Twenty's machine may get another result",
                )
            };
            report.add(check, Status::Fail, error.to_string(), advice)?;
            return Ok(None);
        }
    };
    let clock = ahead(answer.date.as_ref());
    if is_https {
        report.ok("certificate", "the target's certificate is accepted")?;
    }
    report.ok("connection", format!("the target answered in {}", format_duration(answer.latency)))?;
    check_status(target, &answer, report).await?;
    Ok(clock)
}

async fn check_status(target: &Target, answer: &Answer, report: &mut Report) -> Result<(), Failure> {
    let status = answer.status;
    let leads_to = answer.location.as_deref().map_or_else(|| "nowhere".to_owned(), |url| report.shown_url(url));
    match status {
        301..=303 => {
            let advice = "After such a redirect Twenty sends a GET without the body, so nothing arrives. Give the \
                          webhook the address that the redirect leads to";
            report.add(
                "redirect",
                Status::Fail,
                format!("the target answers {status}, a redirect to {leads_to}"),
                advice,
            )
        }
        307 | 308 => {
            let advice = "Twenty follows it, at the cost of a second request for each delivery. Give the webhook the \
                          address that the redirect leads to";
            report.add(
                "redirect",
                Status::Warn,
                format!("the target answers {status}, a redirect to {leads_to}"),
                advice,
            )
        }
        404 | 410 => {
            let Some(other) = with_other_end(target) else {
                return no_such_path(status, report);
            };
            match get(&other).await? {
                Ok(answer) if !matches!(answer.status, 300..=399 | 404 | 410) => {
                    let text = format!(
                        "the target answers {status}, but {} answers with another status",
                        report.shown_url(&other.to_string())
                    );
                    report.add(
                        "path",
                        Status::Fail,
                        text,
                        "Correct the end of the webhook's address: the slash at the end matters",
                    )
                }
                _ => no_such_path(status, report),
            }
        }
        500..=599 => {
            let text = format!("the target answers {status} to a GET");
            report.add(
                "path",
                Status::Warn,
                text,
                "If this answer comes from a proxy, the proxy does not reach the receiver",
            )
        }
        _ => report.ok("path", format!("the target answers {status} to a GET, without a redirect")),
    }
}

fn no_such_path(status: u16, report: &mut Report) -> Result<(), Failure> {
    let advice = "Compare the path with the receiver's route, unless you expect this answer to a GET";
    report.add("path", Status::Warn, format!("the target answers {status} to a GET"), advice)
}

/// Returns the same address with the slash at the path's end added or removed.
fn with_other_end(target: &Target) -> Option<Target> {
    let text = target.to_string();
    let (address, query) = text.split_once('?').map_or((&*text, None), |(address, query)| (address, Some(query)));
    let path = target.uri().path();
    let other = match address.strip_suffix('/') {
        Some(_) if path == "/" => return None,
        Some(without) => without.to_owned(),
        None => format!("{address}/"),
    };
    query.map_or_else(|| other.clone(), |query| format!("{other}?{query}")).parse().ok()
}

async fn get(target: &Target) -> Result<Result<Answer, PostError>, Failure> {
    Ok(Client::new(target.clone())?.send(Method::GET, &HeaderMap::new(), Bytes::new()).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_addresses_are_recognised() {
        for ip in [
            "10.1.2.3",
            "127.0.0.1",
            "192.168.0.1",
            "172.16.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "::1",
            "::",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_private(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:2800:220:1::1"] {
            assert!(!is_private(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn the_slash_at_the_end_is_added_or_removed() {
        for (text, expected) in [
            ("https://a/b", Some("https://a/b/")),
            ("https://a/b/", Some("https://a/b")),
            ("https://a/b?c=d/", Some("https://a/b/?c=d/")),
            ("https://a/", None),
        ] {
            let other = with_other_end(&text.parse().unwrap()).map(|target| target.to_string());
            assert_eq!(other.as_deref(), expected, "{text}");
        }
    }
}
