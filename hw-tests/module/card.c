// SPDX-License-Identifier: GPL-2.0
/*
 * Plug and unplug, in the order of the dvb-usb drivers: the data stops first, then
 * the frontends go, then ca device and demux wait until their last descriptor is closed.
 */
#include <linux/module.h>
#include <linux/slab.h>
#include "tuner.h"

DVB_DEFINE_MOD_OPT_ADAPTER_NR(adapter_nr);

#define FILTERS 256

static int feed_start(struct dvb_demux_feed *feed)
{
	struct socket *socket = feed->demux->priv;

	WRITE_ONCE(socket->feeds, socket->feeds + 1);
	journal_note(&socket->journal, "demux start pid=0x%04x", feed->pid);
	return 0;
}

static int feed_stop(struct dvb_demux_feed *feed)
{
	struct socket *socket = feed->demux->priv;

	WRITE_ONCE(socket->feeds, socket->feeds - 1);
	journal_note(&socket->journal, "demux stop pid=0x%04x", feed->pid);
	return 0;
}

static int demux_register(struct socket *socket, struct card *card)
{
	int err;

	card->demux.dmx.capabilities = DMX_TS_FILTERING | DMX_SECTION_FILTERING | DMX_MEMORY_BASED_FILTERING;
	card->demux.priv = socket;
	card->demux.filternum = FILTERS;
	card->demux.feednum = FILTERS;
	card->demux.start_feed = feed_start;
	card->demux.stop_feed = feed_stop;
	err = dvb_dmx_init(&card->demux);
	if (err)
		return err;
	card->dmxdev.filternum = FILTERS;
	card->dmxdev.demux = &card->demux.dmx;
	err = dvb_dmxdev_init(&card->dmxdev, &card->adapter);
	if (err)
		dvb_dmx_release(&card->demux);
	return err;
}

static void tuners_unregister(struct card *card, int count)
{
	while (count--) {
		dvb_unregister_frontend(&card->tuners[count].fe);
		dvb_frontend_detach(&card->tuners[count].fe);
	}
}

static int tuners_register(struct socket *socket, struct card *card)
{
	int i, err;

	for (i = 0; i < FRONTENDS; i++) {
		tuner_prepare(&card->tuners[i], socket, i);
		err = dvb_register_frontend(&card->adapter, &card->tuners[i].fe);
		if (err) {
			tuners_unregister(card, i);
			return err;
		}
	}
	return 0;
}

static void demux_unregister(struct card *card)
{
	card->demux.dmx.close(&card->demux.dmx);
	dvb_dmxdev_release(&card->dmxdev);
	dvb_dmx_release(&card->demux);
}

static int card_register(struct socket *socket, struct card *card)
{
	int err;

	err = dvb_register_adapter(&card->adapter, socket->name, THIS_MODULE, &socket->parent->dev, adapter_nr);
	if (err < 0)
		return err;
	card->adapter.priv = socket;
	card->adapter.mfe_shared = exclusive;
	err = demux_register(socket, card);
	if (err)
		goto no_demux;
	err = ca_register(socket, card);
	if (err)
		goto no_ca;
	err = tuners_register(socket, card);
	if (err)
		goto no_tuners;
	return 0;

no_tuners:
	dvb_ca_en50221_release(&card->ca);
no_ca:
	demux_unregister(card);
no_demux:
	dvb_unregister_adapter(&card->adapter);
	return err;
}

int card_plug(struct socket *socket)
{
	struct card *card;
	int err = 0;

	mutex_lock(&socket->plug);
	if (socket->card)
		goto out;
	card = kzalloc(sizeof(*card), GFP_KERNEL);
	err = card ? card_register(socket, card) : -ENOMEM;
	if (err) {
		kfree(card);
		goto out;
	}
	mutex_lock(&socket->feed);
	socket->feeds = 0;
	socket->card = card;
	mutex_unlock(&socket->feed);
	journal_note(&socket->journal, "plugged adapter=%d", card->adapter.num);
out:
	mutex_unlock(&socket->plug);
	return err;
}

/* Returns when every descriptor of the demux and of the dvr is closed, as a USB disconnect does. */
void card_unplug(struct socket *socket)
{
	struct card *card;

	mutex_lock(&socket->plug);
	mutex_lock(&socket->feed);
	card = socket->card;
	socket->card = NULL;
	mutex_unlock(&socket->feed);
	if (card) {
		journal_note(&socket->journal, "unplug begin");
		tuners_unregister(card, FRONTENDS);
		journal_note(&socket->journal, "unplug frontends gone");
		/* Waits, without a sign to anybody, until whoever has it open closes it. */
		dvb_ca_en50221_release(&card->ca);
		journal_note(&socket->journal, "unplug ca gone");
		demux_unregister(card);
		dvb_unregister_adapter(&card->adapter);
		journal_note(&socket->journal, "unplug end");
		/* A frontend that is still open looks at its card once more when it is closed. */
		card->retired_before = socket->retired;
		socket->retired = card;
	}
	mutex_unlock(&socket->plug);
}

/* The module cannot be unloaded while a node is open, so nobody looks any more. */
void cards_free(struct socket *socket)
{
	struct card *card;

	while ((card = socket->retired)) {
		socket->retired = card->retired_before;
		kfree(card);
	}
}
