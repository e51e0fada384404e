//! Ages, rates and sizes as people read them, in both languages. Pure.

use super::language::Language;

/// An age in one unit: `12 s`, `3 min`, `5 h`, `2 d`. The dashboard's script writes the same (`format.js`).
#[must_use]
pub fn age(milliseconds: i64, language: Language) -> String {
    let seconds = milliseconds.max(0) / 1_000;
    let day = match language {
        Language::En => "d",
        Language::Fr => "j",
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} {day}", seconds / 86_400),
    }
}

/// A rate in Mbit/s with one decimal, cut, not rounded. The dashboard's script writes the same (`format.js`).
#[must_use]
pub fn megabits(bits_per_second: u64, language: Language) -> String {
    let tenths = bits_per_second / 100_000;
    let point = match language {
        Language::En => '.',
        Language::Fr => ',',
    };
    format!("{}{point}{}", tenths / 10, tenths % 10)
}

/// A size with at most three digits before its point: `730 B`, `1.2 kB`, `48.0 MB`; octets in French.
#[must_use]
pub fn size(bytes: u64, language: Language) -> String {
    let (unit, point) = match language {
        Language::En => ("B", '.'),
        Language::Fr => ("o", ','),
    };
    let (mut scaled, mut prefix) = (bytes.saturating_mul(10), "");
    for next in ["k", "M", "G", "T"] {
        if scaled < 10_000 {
            break;
        }
        (scaled, prefix) = (scaled / 1_000, next);
    }
    match prefix {
        "" => format!("{bytes} {unit}"),
        _ => format!("{}{point}{} {prefix}{unit}", scaled / 10, scaled % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_one_short_word() {
        let check = |seconds: i64, want: &str| assert_eq!(age(seconds * 1_000, Language::Fr), want);
        check(-5, "0 s");
        check(59, "59 s");
        check(60, "1 min");
        check(3_599, "59 min");
        check(3_600, "1 h");
        check(172_799, "47 h");
        check(172_800, "2 j");
        assert_eq!(age(172_800_000, Language::En), "2 d");
    }

    #[test]
    fn rates_have_one_decimal() {
        assert_eq!(megabits(8_299_999, Language::En), "8.2");
        assert_eq!(megabits(99_999, Language::Fr), "0,0");
    }

    #[test]
    fn sizes_are_short() {
        let check = |bytes: u64, want: &str| assert_eq!(size(bytes, Language::En), want);
        check(0, "0 B");
        check(999, "999 B");
        check(1_000, "1.0 kB");
        check(48_000_000, "48.0 MB");
        check(999_999_999, "999.9 MB");
        check(1_500_000_000_000, "1.5 TB");
        assert_eq!(size(1_880, Language::Fr), "1,8 ko");
        assert!(!size(u64::MAX, Language::En).is_empty());
    }
}
