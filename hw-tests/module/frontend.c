// SPDX-License-Identifier: GPL-2.0
/* The two frontends: they lock when the test says so, and note all they are asked. */
#include <linux/delay.h>
#include <linux/jiffies.h>
#include "tuner.h"

#define LOCKED (FE_HAS_SIGNAL | FE_HAS_CARRIER | FE_HAS_VITERBI | FE_HAS_SYNC | FE_HAS_LOCK)

static struct tuner *tuner_of(struct dvb_frontend *fe)
{
	return container_of(fe, struct tuner, fe);
}

static struct knobs *knobs_of(struct tuner *tuner)
{
	return &tuner->socket->knobs[tuner->kind];
}

const char *tuner_word(int kind)
{
	return kind == SATELLITE ? "satellite" : "terrestrial";
}

#define NOTE(tuner, format, ...) \
	journal_note(&(tuner)->socket->journal, "%s " format, tuner_word((tuner)->kind), ##__VA_ARGS__)

/* Like a control transfer that times out: uninterruptible, under the core's lock. */
static void hang(struct tuner *tuner)
{
	struct knobs *knobs = knobs_of(tuner);

	if (!knobs->hang_ms || !knobs->hang_calls)
		return;
	if (knobs->hang_calls > 0)
		knobs->hang_calls--;
	msleep((unsigned int)knobs->hang_ms);
}

static bool carrier_at(struct knobs *knobs, u32 frequency)
{
	unsigned int i, len = READ_ONCE(knobs->carriers_len);

	for (i = 0; i < len; i++)
		if (knobs->carriers[i] == frequency)
			return true;
	return len == 0;
}

bool tuner_locked(struct tuner *tuner)
{
	struct knobs *knobs = knobs_of(tuner);

	return tuner->tuned && !tuner->tune_dead && READ_ONCE(knobs->lock) &&
	       time_after_eq(jiffies, tuner->lock_at) &&
	       carrier_at(knobs, tuner->fe.dtv_property_cache.frequency);
}

static void note_tune(struct tuner *tuner)
{
	struct dtv_frontend_properties *c = &tuner->fe.dtv_property_cache;
	char *line = tuner->socket->last_tune[tuner->kind];

	scnprintf(line, JOURNAL_LINE_BYTES,
		  "delivery=%d frequency=%u modulation=%d inversion=%d bandwidth=%u symbol_rate=%u fec=%d "
		  "pilot=%d rolloff=%d stream_id=%u scrambling_sequence=%u transmission=%d guard=%d "
		  "hierarchy=%d code_rate_hp=%d code_rate_lp=%d lna=%u voltage=%s tone=%s",
		  c->delivery_system, c->frequency, c->modulation, c->inversion, c->bandwidth_hz,
		  c->symbol_rate, c->fec_inner, c->pilot, c->rolloff, c->stream_id,
		  c->scrambling_sequence_index, c->transmission_mode, c->guard_interval, c->hierarchy,
		  c->code_rate_HP, c->code_rate_LP, c->lna, tuner->volts, tuner->tone);
	NOTE(tuner, "tune %s", line);
}

static int tuner_tune(struct dvb_frontend *fe, bool re_tune, unsigned int mode_flags,
		      unsigned int *delay, enum fe_status *status)
{
	struct tuner *tuner = tuner_of(fe);
	struct knobs *knobs = knobs_of(tuner);

	hang(tuner);
	if (re_tune) {
		note_tune(tuner);
		tuner->tune_dead = knobs->tune_fails > 0;
		if (tuner->tune_dead)
			knobs->tune_fails--;
		tuner->lock_at = jiffies + msecs_to_jiffies((unsigned int)knobs->lock_delay_ms);
		tuner->tuned = true;
	}
	*status = tuner_locked(tuner) ? LOCKED : 0;
	*delay = HZ / 50;
	return 0;
}

static enum dvbfe_algo tuner_algo(struct dvb_frontend *fe)
{
	return DVBFE_ALGO_HW;
}

static int tuner_status(struct dvb_frontend *fe, enum fe_status *status)
{
	struct tuner *tuner = tuner_of(fe);

	hang(tuner);
	*status = tuner_locked(tuner) ? LOCKED : 0;
	return 0;
}

static void give(struct dtv_fe_stats *stats, const struct figure *figure)
{
	stats->len = figure->scale == 255 ? 0 : 1;
	stats->stat[0].scale = (u8)figure->scale;
	stats->stat[0].svalue = figure->value;
}

static int tuner_figures(struct dvb_frontend *fe, struct dtv_frontend_properties *c)
{
	struct tuner *tuner = tuner_of(fe);
	struct knobs *knobs = knobs_of(tuner);

	hang(tuner);
	give(&c->strength, &knobs->strength);
	give(&c->cnr, &knobs->cnr);
	give(&c->pre_bit_error, &knobs->pre_bit_error);
	give(&c->pre_bit_count, &knobs->pre_bit_count);
	give(&c->post_bit_error, &knobs->post_bit_error);
	give(&c->post_bit_count, &knobs->post_bit_count);
	give(&c->block_error, &knobs->block_error);
	give(&c->block_count, &knobs->block_count);
	return 0;
}

#define OLD_CALL(name, type, knob)                                          \
static int name(struct dvb_frontend *fe, type *out)                         \
{                                                                           \
	struct knobs *knobs = knobs_of(tuner_of(fe));                       \
                                                                            \
	hang(tuner_of(fe));                                                 \
	if (knobs->knob < 0)                                                \
		return -EOPNOTSUPP;                                         \
	*out = (type)knobs->knob;                                           \
	return 0;                                                           \
}
OLD_CALL(tuner_v3_strength, u16, v3_strength)
OLD_CALL(tuner_v3_snr, u16, v3_snr)
OLD_CALL(tuner_v3_ber, u32, v3_ber)
OLD_CALL(tuner_v3_ucblocks, u32, v3_ucblocks)

static int sec_answer(struct tuner *tuner)
{
	hang(tuner);
	return -(int)knobs_of(tuner)->sec_error;
}

static int tuner_tone(struct dvb_frontend *fe, enum fe_sec_tone_mode tone)
{
	struct tuner *tuner = tuner_of(fe);

	tuner->tone = tone == SEC_TONE_ON ? "on" : "off";
	NOTE(tuner, "tone %s", tuner->tone);
	return sec_answer(tuner);
}

static int tuner_voltage(struct dvb_frontend *fe, enum fe_sec_voltage voltage)
{
	struct tuner *tuner = tuner_of(fe);

	tuner->volts = voltage == SEC_VOLTAGE_13 ? "13" : voltage == SEC_VOLTAGE_18 ? "18" : "off";
	NOTE(tuner, "voltage %s", tuner->volts);
	return sec_answer(tuner);
}

static int tuner_high_voltage(struct dvb_frontend *fe, long on)
{
	NOTE(tuner_of(fe), "high_voltage %s", on ? "on" : "off");
	return sec_answer(tuner_of(fe));
}

static int tuner_master(struct dvb_frontend *fe, struct dvb_diseqc_master_cmd *cmd)
{
	if (cmd->msg_len > sizeof(cmd->msg))
		return -EINVAL;
	NOTE(tuner_of(fe), "master %*ph", cmd->msg_len, cmd->msg);
	return sec_answer(tuner_of(fe));
}

static int tuner_burst(struct dvb_frontend *fe, enum fe_sec_mini_cmd burst)
{
	NOTE(tuner_of(fe), "burst %s", burst == SEC_MINI_B ? "b" : "a");
	return sec_answer(tuner_of(fe));
}

static int tuner_init(struct dvb_frontend *fe)
{
	NOTE(tuner_of(fe), "init");
	return 0;
}

static int tuner_sleep(struct dvb_frontend *fe)
{
	tuner_of(fe)->tuned = false;
	NOTE(tuner_of(fe), "sleep");
	return 0;
}

/*
 * dvb-core calls it at the first open and the last close, and hands on our error.
 * A driver that has it is set up anew at each open (voltage and tone are sent
 * twice), so it is there only while an error is asked for.
 */
static int tuner_bus(struct dvb_frontend *fe, int acquire)
{
	struct tuner *tuner = tuner_of(fe);

	return acquire ? -(int)knobs_of(tuner)->open_error : 0;
}

#define CALLS                                                               \
	.init = tuner_init,                                                 \
	.sleep = tuner_sleep,                                               \
	.tune = tuner_tune,                                                 \
	.get_frontend_algo = tuner_algo,                                    \
	.get_frontend = tuner_figures,                                      \
	.read_status = tuner_status,                                        \
	.read_signal_strength = tuner_v3_strength,                          \
	.read_snr = tuner_v3_snr,                                           \
	.read_ber = tuner_v3_ber,                                           \
	.read_ucblocks = tuner_v3_ucblocks

static const struct dvb_frontend_ops satellite_ops = {
	.delsys = { SYS_DVBS, SYS_DVBS2 },
	.info = {
		.name = "Headend test DVB-S/S2",
		.frequency_min_hz = 950 * MHz,
		.frequency_max_hz = 2150 * MHz,
		.symbol_rate_min = 1000000,
		.symbol_rate_max = 72000000,
		.caps = FE_CAN_INVERSION_AUTO | FE_CAN_FEC_AUTO | FE_CAN_QPSK | FE_CAN_2G_MODULATION |
			FE_CAN_MULTISTREAM,
	},
	CALLS,
	.set_tone = tuner_tone,
	.set_voltage = tuner_voltage,
	.enable_high_lnb_voltage = tuner_high_voltage,
	.diseqc_send_master_cmd = tuner_master,
	.diseqc_send_burst = tuner_burst,
};

static const struct dvb_frontend_ops terrestrial_ops = {
	.delsys = { SYS_DVBT, SYS_DVBT2 },
	.info = {
		.name = "Headend test DVB-T/T2",
		.frequency_min_hz = 42 * MHz,
		.frequency_max_hz = 1002 * MHz,
		.caps = FE_CAN_INVERSION_AUTO | FE_CAN_FEC_AUTO | FE_CAN_QAM_AUTO | FE_CAN_QPSK |
			FE_CAN_TRANSMISSION_MODE_AUTO | FE_CAN_GUARD_INTERVAL_AUTO |
			FE_CAN_HIERARCHY_AUTO | FE_CAN_2G_MODULATION | FE_CAN_MULTISTREAM,
	},
	CALLS,
};

void tuner_prepare(struct tuner *tuner, struct socket *socket, int kind)
{
	tuner->socket = socket;
	tuner->kind = kind;
	tuner->volts = "off";
	tuner->tone = "off";
	tuner->fe.id = kind;
	tuner->fe.ops = kind == SATELLITE ? satellite_ops : terrestrial_ops;
	if (knobs_of(tuner)->open_error)
		tuner->fe.ops.ts_bus_ctrl = tuner_bus;
}

void knobs_default(struct knobs *knobs)
{
	const struct figure counter = { 0, FE_SCALE_COUNTER };

	memset(knobs, 0, sizeof(*knobs));
	knobs->lock = 1;
	knobs->lock_delay_ms = 50;
	knobs->hang_calls = -1;
	knobs->v3_strength = knobs->v3_snr = knobs->v3_ber = knobs->v3_ucblocks = -1;
	knobs->strength = (struct figure){ -45000, FE_SCALE_DECIBEL };
	knobs->cnr = (struct figure){ 14500, FE_SCALE_DECIBEL };
	knobs->pre_bit_error = knobs->pre_bit_count = counter;
	knobs->post_bit_error = knobs->post_bit_count = counter;
	knobs->block_error = knobs->block_count = counter;
}
