/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A pretended DVB card under the test's control.
 *
 * A "socket" is where a card can be plugged in: it exists as long as the module
 * and owns the knobs, the journal and the character device that takes the
 * transport stream. A "card" is what dvb-core sees between plug and unplug: one
 * adapter, one demux, a terrestrial and a satellite frontend.
 */
#ifndef HEADEND_TUNER_H
#define HEADEND_TUNER_H

#include <linux/dcache.h>
#include <linux/miscdevice.h>
#include <linux/mutex.h>
#include <linux/platform_device.h>
#include <linux/spinlock.h>
#include <media/dmxdev.h>
#include <media/dvb_ca_en50221.h>
#include <media/dvb_demux.h>
#include <media/dvb_frontend.h>
#include <media/dvbdev.h>

#define SOCKETS_MAX 16
#define JOURNAL_LINES 512
#define JOURNAL_LINE_BYTES 384
#define CARRIERS_MAX 16
#define FRAGMENT_BYTES 512
#define FRAGMENTS 64

enum { TERRESTRIAL, SATELLITE, FRONTENDS };

struct journal_line {
	u64 seq;
	u64 at_us;
	char text[JOURNAL_LINE_BYTES];
};

/* The last JOURNAL_LINES things that happened, oldest overwritten first. */
struct journal {
	spinlock_t lock;
	u64 next;
	u64 first;
	struct journal_line *lines;
};

/* One signal figure: the scale is enum fecap_scale_params, 255 means no value at all. */
struct figure {
	s64 value;
	s64 scale;
};

/* What the test sets for one frontend. All are s64 so that one kind of file serves them. */
struct knobs {
	s64 lock;          /* 1: locks after lock_delay_ms; 0: never, or loses it */
	s64 lock_delay_ms;
	s64 tune_fails;    /* this many tune requests to come will not lock */
	s64 hang_ms;       /* each call into the driver sleeps so long ... */
	s64 hang_calls;    /* ... for this many calls; -1 without end */
	s64 open_error;    /* errno that opening gives, from the next plug on */
	s64 sec_error;     /* errno that voltage, tone and DiSEqC give */
	s64 v3_strength;   /* answers of the old calls; -1: the driver has none */
	s64 v3_snr;
	s64 v3_ber;
	s64 v3_ucblocks;
	struct figure strength;
	struct figure cnr;
	struct figure pre_bit_error, pre_bit_count;
	struct figure post_bit_error, post_bit_count;
	struct figure block_error, block_count;
	u32 carriers[CARRIERS_MAX]; /* lock only at these frequencies; none: at any */
	unsigned int carriers_len;
};

struct socket;

struct tuner {
	struct dvb_frontend fe;
	struct socket *socket;
	int kind;
	const char *volts;         /* what was asked for last */
	const char *tone;
	bool tuned;
	bool tune_dead;            /* this tune was told to fail */
	unsigned long lock_at;     /* jiffies */
};

/* One piece of a message on the link between host and module. */
struct fragment {
	u16 len;
	u8 bytes[FRAGMENT_BYTES];
};

struct fragments {
	unsigned int first;
	unsigned int count;
	struct fragment list[FRAGMENTS];
};

/* What is in the slot of the common interface; it stays there when the card is unplugged. */
struct cam {
	char name[24];
	struct miscdevice misc;    /* the test plays the module here */
	spinlock_t lock;           /* the queues and the registers */
	struct fragments *to_host;
	struct fragments *to_test;
	bool inserted;
	int changed;               /* since the core looked last */
	u8 option;                 /* the configuration the core chose */
	u8 command;
	unsigned int at;           /* next byte of an answer of two */
	unsigned long ready_at;    /* jiffies */
	s64 ready_ms;              /* from reset until it is ready */
	s64 hang_ms;               /* each transfer of data sleeps so long */
};

struct card {
	struct dvb_adapter adapter;
	struct dvb_ca_en50221 ca;
	struct dvb_demux demux;
	struct dmxdev dmxdev;
	struct tuner tuners[FRONTENDS];
	struct card *retired_before;
};

struct socket {
	int index;
	char name[24];
	struct platform_device *parent;
	struct miscdevice misc;
	struct dentry *dir;
	struct journal journal;
	struct cam cam;
	struct knobs knobs[FRONTENDS];
	struct mutex plug;         /* one plug or unplug at a time */
	struct mutex feed;         /* card, streaming and the bounce buffer */
	struct card *card;         /* under feed; NULL when unplugged */
	struct card *retired;      /* unplugged cards: an open frontend may still look at them */
	u8 *bounce;
	s64 data;                  /* 0: locked, and not one packet */
	s64 packets_in;
	s64 packets_dropped;
	s64 feeds;                 /* filters of dvb-core that are running */
	char last_tune[FRONTENDS][JOURNAL_LINE_BYTES];
};

/* journal.c */
int journal_create(struct journal *journal);
void journal_destroy(struct journal *journal);
__printf(2, 3) void journal_note(struct journal *journal, const char *format, ...);
extern const struct file_operations journal_fops;

/* frontend.c */
void tuner_prepare(struct tuner *tuner, struct socket *socket, int kind);
bool tuner_locked(struct tuner *tuner);
void knobs_default(struct knobs *knobs);
const char *tuner_word(int kind);

/* card.c */
int card_plug(struct socket *socket);
void card_unplug(struct socket *socket);
void cards_free(struct socket *socket);

/* ca.c */
int ca_register(struct socket *socket, struct card *card);
int cam_create(struct socket *socket);
void cam_publish(struct socket *socket);
void cam_destroy(struct socket *socket);

/* knobs.c */
void publish_number(struct dentry *dir, const char *name, s64 *number);
void knobs_publish(struct socket *socket, struct dentry *root);

/* main.c */
extern bool exclusive;

#endif
