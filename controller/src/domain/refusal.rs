//! Why a value was not taken: which field, what is wrong, and the way out. Shown to
//! operators and callers of the API as it is, so it never repeats a secret.

/// A value that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}; {fix}")]
pub struct Refusal {
    /// The field as the API names it.
    pub field: &'static str,
    /// What is wrong, with the numbers.
    pub problem: String,
    /// What would be right.
    pub fix: String,
}

impl Refusal {
    /// A refusal of `field`.
    #[must_use]
    pub fn new(field: &'static str, problem: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { field, problem: problem.into(), fix: fix.into() }
    }
}

/// Refuses a number outside `range`.
pub(crate) fn in_range(field: &'static str, value: u64, range: std::ops::RangeInclusive<u64>) -> Result<(), Refusal> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(Refusal::new(field, format!("is {value}"), format!("use {} to {}", range.start(), range.end())))
}

/// Refuses text of another length than `range` characters, or with control characters.
pub(crate) fn plain_text(
    field: &'static str,
    text: &str,
    range: std::ops::RangeInclusive<usize>,
) -> Result<(), Refusal> {
    let have = text.chars().count();
    if !range.contains(&have) {
        let fix = format!("use {} to {}", range.start(), range.end());
        return Err(Refusal::new(field, format!("has {have} characters"), fix));
    }
    if text.chars().any(char::is_control) {
        return Err(Refusal::new(field, "has a control character", "use visible characters and spaces"));
    }
    Ok(())
}

/// Refuses more than `max` of something.
pub(crate) fn at_most(field: &'static str, have: usize, max: usize) -> Result<(), Refusal> {
    if have <= max {
        return Ok(());
    }
    Err(Refusal::new(field, format!("has {have} entries"), format!("use {max} at most")))
}

/// Refuses anything but an address with one of the `schemes`, a rest, and no white space.
pub(crate) fn address(field: &'static str, url: &str, schemes: &[&str], bytes_max: usize) -> Result<(), Refusal> {
    let schemes_text = schemes.join(", ");
    if url.len() > bytes_max {
        return Err(Refusal::new(field, format!("has {} bytes", url.len()), format!("use {bytes_max} at most")));
    }
    if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::new(field, "has a space or is not ASCII", "write such characters as %XX"));
    }
    let rest = url.split_once(':').filter(|(scheme, _)| schemes.contains(scheme)).map(|(_, rest)| rest);
    match rest {
        Some(rest) if !rest.trim_matches('/').is_empty() => Ok(()),
        Some(_) => Err(Refusal::new(field, "ends after its scheme", "add a host or a path")),
        None => {
            Err(Refusal::new(field, "has no scheme that is known here", format!("begin with one of {schemes_text}")))
        }
    }
}
