//! Every table from a section of any content, with the right CRC and with whatever came.
#![no_main]

use headend_media::{
    crc,
    descriptor::{self, Descriptors},
    table::{Cat, Eit, LongSection, Nit, Pat, Pmt, Sdt, Tdt, Tot},
    text::CodeTable,
};
use libfuzzer_sys::fuzz_target;

fn read(section: &[u8]) {
    let _ = LongSection::parse(section);
    let _ = Pat::parse(section).map(|pat| pat.programmes.len());
    let _ = Tdt::parse(section);
    let _ = Tot::parse(section);
    let _ = Cat::parse(section).map(|cat| cat.systems().count());
    if let Ok(pmt) = Pmt::parse(section) {
        drop(format!("{pmt:?}"));
    }
    if let Ok(sdt) = Sdt::parse(section) {
        drop(format!("{sdt:?}"));
    }
    if let Ok(nit) = Nit::parse(section) {
        drop(format!("{nit:?}"));
    }
    if let Ok(eit) = Eit::parse(section) {
        drop(format!("{eit:?}"));
    }
}

fn describe(body: &[u8]) {
    descriptor::ca(body);
    descriptor::ac3(body);
    descriptor::aac(body);
    descriptor::hevc(body);
    descriptor::short_event(body);
    descriptor::extended_part(body);
    descriptor::content(body).count();
    descriptor::parental_ratings(body).count();
    descriptor::service(body);
    descriptor::languages(body).count();
    descriptor::supplementary_audio(body);
    descriptor::registration(body);
    descriptor::component_tag(body);
    descriptor::teletext(body).count();
    descriptor::subtitles(body).count();
}

fuzz_target!(|bytes: &[u8]| {
    read(bytes);
    if bytes.len() >= 3 && bytes.len() < 4_090 {
        let mut section = bytes.to_vec();
        let length = (section.len() + 4 - 3) as u16;
        section[1] = 0xB0 | (length >> 8) as u8;
        section[2] = length as u8;
        crc::append(&mut section);
        read(&section);
    }
    describe(bytes);
    let descriptors = Descriptors::new(bytes);
    descriptors.take(10_000).for_each(|descriptor| describe(descriptor.body));
    descriptor::extended_events(descriptors, CodeTable::default());
});
