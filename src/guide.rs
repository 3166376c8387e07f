//! How to use this crate, by task.
//!
//! | page | for |
//! |---|---|
//! | [`receiving`] | receivers with axum, actix-web, tower or no framework |
//! | [`events`] | typed events, custom fields, objects of your own, generated types |
//! | [`inbox`] | deliveries that are on disk before they are answered |
//! | [`mirroring`] | a table that follows Twenty, for any order of the events |
//! | [`deduplication`] | duplicates and replays, without an inbox |
//! | [`tenants`] | many workspaces, each with its own keys |
//! | [`testing`] | tests of your receiver |
//! | [`observing`] | logs, metrics, alerts |
//! | [`deploying`] | systemd, nginx, containers |
//! | [`migrating`] | migration from handwritten verification |
//! | [`tool`] | the command-line tool |
//! | [`features`] | features and their dependencies |
//! | [`twenty`] | what Twenty sends |
//!
//! Links to files work only in the repository, not in this documentation.

macro_rules! pages {
    ($($page:ident)*) => {
        $(#[doc = include_str!(concat!("../docs/guide/", stringify!($page), ".md"))] pub mod $page {})*
    };
}

pages!(receiving events inbox mirroring deduplication tenants testing observing deploying migrating tool features twenty);
