//! Numbers with units as a Flussonic configuration writes them: `5d`, `2h`, `60`, `2.5`, `95%`, `500G`.
//!
//! Pure. Durations come out in milliseconds, because the file counts in seconds and the API in milliseconds.

/// A duration in milliseconds: a bare number is seconds, as in `60`, `2.5`, `5d`, `2h`, `30m`, `90s`, `500ms`, `1w`.
#[must_use]
pub fn duration_ms(word: &str) -> Option<u64> {
    let (number, unit) = split(word)?;
    let unit_ms = match unit {
        "w" => 7 * 86_400_000,
        "d" => 86_400_000,
        "h" => 3_600_000,
        "m" => 60_000,
        "s" | "" => 1_000,
        "ms" => 1,
        _ => return None,
    };
    scaled(number, unit_ms)
}

/// Bytes, with binary multiples: `500G`, `1500M`, `2T`.
#[must_use]
pub fn bytes(word: &str) -> Option<u64> {
    let (number, unit) = split(word)?;
    let shift = match unit {
        "T" | "t" | "TB" => 40,
        "G" | "g" | "GB" => 30,
        "M" | "MB" => 20,
        "K" | "k" | "KB" => 10,
        _ => return None,
    };
    scaled(number, 1 << shift).filter(|bytes| *bytes > 0)
}

/// A share in percent, 0 to 100: `95%`.
#[must_use]
pub fn percent(word: &str) -> Option<u8> {
    let (number, unit) = split(word.strip_suffix('%')?)?;
    (unit.is_empty()).then(|| number.parse().ok()).flatten().filter(|share| *share <= 100)
}

/// Leading digits with one point at most, 15 characters at most, and the rest.
fn split(word: &str) -> Option<(&str, &str)> {
    let at = word.bytes().position(|byte| !byte.is_ascii_digit() && byte != b'.').unwrap_or(word.len());
    let (number, unit) = word.split_at(at);
    let whole = number.split('.').next().unwrap_or_default();
    (at <= 15 && !whole.is_empty() && number.matches('.').count() <= 1).then_some((number, unit))
}

/// `2.5` times a unit, without floating point.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    let thousandths = match part {
        "" => 0,
        part => format!("{part:0<3}").get(..3)?.parse::<u64>().ok()?,
    };
    whole.checked_add(unit.checked_mul(thousandths)? / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (word, want) in [
            ("60", Some(60_000)),
            ("5d", Some(432_000_000)),
            ("2h", Some(7_200_000)),
            ("30m", Some(1_800_000)),
            ("1w", Some(604_800_000)),
            ("2.5", Some(2_500)),
            ("0.0004", Some(0)),
            ("500ms", Some(500)),
            ("5D", None),
            ("", None),
            ("d", None),
            (".5", None),
            ("1.2.3", None),
            ("-5", None),
            ("5d ", None),
            ("999999999999999w", None),
            ("9999999999999999", None),
        ] {
            assert_eq!(duration_ms(word), want, "{word}");
        }
    }

    #[test]
    fn sizes_and_shares() {
        for (word, want) in
            [("500G", Some(500 << 30)), ("1.5T", Some(3 << 39)), ("0G", None), ("500", None), ("9999999999T", None)]
        {
            assert_eq!(bytes(word), want, "{word}");
        }
        for (word, want) in [("95%", Some(95)), ("100%", Some(100)), ("101%", None), ("95", None), ("9.5%", None)] {
            assert_eq!(percent(word), want, "{word}");
        }
    }
}
