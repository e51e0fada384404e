//! Security headers of our pages: a strict content security policy (CSP Level 3), and no sniffing.
//!
//! Nothing inline runs and nothing comes from elsewhere; only the player's page may also fetch from the
//! origins. Those addresses come from nodes and operators: one that is not a plain `http(s)` origin is left
//! out, because a `;` or a space in it would write policy of its own.

use axum::{
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};

/// More origins than a header line should carry; a fleet has 200 nodes at most.
const ORIGINS_MAX: usize = 200;
const ORIGIN_BYTES_MAX: usize = 255;

/// The `scheme://host[:port]` of an address, or none when it is not a plain `http` or `https` address.
#[must_use]
pub fn origin_of(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let start = url.len() - rest.len();
    let end = rest.find('/').map_or(url.len(), |slash| start + slash);
    let host = &url[start..end];
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte);
    (!host.is_empty() && end <= ORIGIN_BYTES_MAX && host.bytes().all(plain)).then_some(&url[..end])
}

/// Sets the policy; `origins` are addresses that the page's player may fetch streams from.
pub fn policy(fields: &mut HeaderMap, origins: &[String]) {
    let mut listed: Vec<&str> = origins.iter().filter_map(|url| origin_of(url)).collect();
    listed.sort_unstable();
    listed.dedup();
    listed.truncate(ORIGINS_MAX);
    let more: String = listed.iter().map(|origin| format!(" {origin}")).collect();
    let text = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'{more}; \
         media-src 'self' blob:{more}; worker-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    );
    let value = HeaderValue::try_from(text).expect("origins are ASCII without controls");
    fields.insert(header::CONTENT_SECURITY_POLICY, value);
}

/// A page: never stored, never framed, never sniffed.
#[must_use]
pub fn page(status: StatusCode, html: String, origins: &[String]) -> Response {
    let mut response = (status, Html(html)).into_response();
    let fields = response.headers_mut();
    policy(fields, origins);
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // `no-referrer` would make browsers send `Origin: null` with our own forms.
    fields.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    fields.insert(header::VARY, HeaderValue::from_static("accept-language, cookie"));
    response
}

/// A sentence as plain text, never stored.
#[must_use]
pub fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut response = (status, text).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(url: &str, want: Option<&str>) {
        assert_eq!(origin_of(url), want, "{url}");
    }

    #[test]
    fn only_plain_origins_reach_the_policy() {
        check("http://127.0.0.1:8081", Some("http://127.0.0.1:8081"));
        check("https://car-1.example/live", Some("https://car-1.example"));
        check("http://[::1]:8081/", Some("http://[::1]:8081"));
        check("http://", None);
        check("javascript:alert(1)", None);
        check("http://a; script-src *", None);
        check("http://user@host", None);
        check("http://*", None);
        check("http://é", None);
    }

    fn policy_text(origins: &[String]) -> String {
        let mut fields = HeaderMap::new();
        policy(&mut fields, origins);
        fields[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned()
    }

    #[test]
    fn the_dashboard_talks_to_itself_and_the_player_also_to_origins() {
        has(&policy_text(&[]), "connect-src 'self'; media-src 'self' blob:;");
        let two = ["http://b:2/".to_owned(), "http://a:1".to_owned(), "http://a:1/x".to_owned()];
        has(
            &policy_text(&two),
            "connect-src 'self' http://a:1 http://b:2; media-src 'self' blob: http://a:1 http://b:2;",
        );
    }

    fn has(text: &str, part: &str) {
        assert!(text.contains(part), "{text}");
        assert!(!text.contains("unsafe"), "{text}");
    }

    proptest! {
        #[test]
        fn no_address_adds_a_directive(urls in prop::collection::vec(".{0,40}|https?://.{0,40}", 0..6)) {
            prop_assert_eq!(policy_text(&urls).matches(';').count(), policy_text(&[]).matches(';').count());
        }
    }
}
