// SPDX-License-Identifier: GPL-2.0
/* The knobs, one file each, below debugfs: headend_tuner/socketN/{,terrestrial/,satellite/}. */
#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/uaccess.h>
#include "tuner.h"

static int number_show(struct seq_file *file, void *unused)
{
	seq_printf(file, "%lld\n", READ_ONCE(*(s64 *)file->private));
	return 0;
}

static int number_open(struct inode *inode, struct file *file)
{
	return single_open(file, number_show, inode->i_private);
}

static ssize_t number_write(struct file *file, const char __user *buf, size_t count, loff_t *at)
{
	s64 *number = ((struct seq_file *)file->private_data)->private;
	long long value;
	int err = kstrtoll_from_user(buf, count, 0, &value);

	if (err)
		return err;
	WRITE_ONCE(*number, value);
	return count;
}

static const struct file_operations number_fops = {
	.owner = THIS_MODULE,
	.open = number_open,
	.read = seq_read,
	.write = number_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static int text_show(struct seq_file *file, void *unused)
{
	seq_printf(file, "%s\n", (char *)file->private);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(text);

static int plugged_show(struct seq_file *file, void *unused)
{
	struct socket *socket = file->private;
	struct card *card;

	mutex_lock(&socket->feed);
	card = socket->card;
	seq_printf(file, "%d\n", card ? card->adapter.num : -1);
	mutex_unlock(&socket->feed);
	return 0;
}

static int plugged_open(struct inode *inode, struct file *file)
{
	return single_open(file, plugged_show, inode->i_private);
}

/* 0 returns when the card is gone, which is when nobody holds its demux or dvr any more. */
static ssize_t plugged_write(struct file *file, const char __user *buf, size_t count, loff_t *at)
{
	struct socket *socket = ((struct seq_file *)file->private_data)->private;
	bool plugged;
	int err = kstrtobool_from_user(buf, count, &plugged);

	if (err)
		return err;
	if (plugged)
		err = card_plug(socket);
	else
		card_unplug(socket);
	return err ? err : count;
}

static const struct file_operations plugged_fops = {
	.owner = THIS_MODULE,
	.open = plugged_open,
	.read = seq_read,
	.write = plugged_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static int carriers_show(struct seq_file *file, void *unused)
{
	struct knobs *knobs = file->private;
	unsigned int i;

	for (i = 0; i < knobs->carriers_len; i++)
		seq_printf(file, "%u%c", knobs->carriers[i], i + 1 == knobs->carriers_len ? '\n' : ' ');
	return 0;
}

static int carriers_open(struct inode *inode, struct file *file)
{
	return single_open(file, carriers_show, inode->i_private);
}

/* A list of numbers, as the frontend is asked for them: kHz on satellite, Hz on the ground. */
static ssize_t carriers_write(struct file *file, const char __user *buf, size_t count, loff_t *at)
{
	struct knobs *knobs = ((struct seq_file *)file->private_data)->private;
	char *text, *rest, *word;
	unsigned int len = 0;
	int err = 0;

	text = memdup_user_nul(buf, count);
	if (IS_ERR(text))
		return PTR_ERR(text);
	WRITE_ONCE(knobs->carriers_len, 0);
	rest = text;
	while (!err && (word = strsep(&rest, " \n"))) {
		if (!*word)
			continue;
		if (len == CARRIERS_MAX)
			err = -E2BIG;
		else
			err = kstrtou32(word, 0, &knobs->carriers[len++]);
	}
	if (!err)
		WRITE_ONCE(knobs->carriers_len, len);
	kfree(text);
	return err ? err : count;
}

static const struct file_operations carriers_fops = {
	.owner = THIS_MODULE,
	.open = carriers_open,
	.read = seq_read,
	.write = carriers_write,
	.llseek = seq_lseek,
	.release = single_release,
};

/* Any write puts a frontend's knobs back to what they are after loading. */
static ssize_t defaults_write(struct file *file, const char __user *buf, size_t count, loff_t *at)
{
	knobs_default(file->private_data);
	return count;
}

static const struct file_operations defaults_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = defaults_write,
	.llseek = noop_llseek,
};

void publish_number(struct dentry *dir, const char *name, s64 *number)
{
	debugfs_create_file(name, 0644, dir, number, &number_fops);
}

static void publish_figure(struct dentry *dir, const char *name, struct figure *figure)
{
	char scale[32];

	snprintf(scale, sizeof(scale), "%s_scale", name);
	publish_number(dir, name, &figure->value);
	publish_number(dir, scale, &figure->scale);
}

static void publish_frontend(struct socket *socket, int kind)
{
	struct dentry *dir = debugfs_create_dir(tuner_word(kind), socket->dir);
	struct knobs *knobs = &socket->knobs[kind];

#define NUMBER(name) publish_number(dir, #name, &knobs->name)
#define FIGURE(name) publish_figure(dir, #name, &knobs->name)
	NUMBER(lock);
	NUMBER(lock_delay_ms);
	NUMBER(tune_fails);
	NUMBER(hang_ms);
	NUMBER(hang_calls);
	NUMBER(open_error);
	NUMBER(sec_error);
	NUMBER(v3_strength);
	NUMBER(v3_snr);
	NUMBER(v3_ber);
	NUMBER(v3_ucblocks);
	FIGURE(strength);
	FIGURE(cnr);
	FIGURE(pre_bit_error);
	FIGURE(pre_bit_count);
	FIGURE(post_bit_error);
	FIGURE(post_bit_count);
	FIGURE(block_error);
	FIGURE(block_count);
#undef NUMBER
#undef FIGURE
	debugfs_create_file("carriers", 0644, dir, knobs, &carriers_fops);
	debugfs_create_file("defaults", 0200, dir, knobs, &defaults_fops);
	debugfs_create_file("last_tune", 0444, dir, socket->last_tune[kind], &text_fops);
}

void knobs_publish(struct socket *socket, struct dentry *root)
{
	char name[16];
	int kind;

	snprintf(name, sizeof(name), "socket%d", socket->index);
	socket->dir = debugfs_create_dir(name, root);
	debugfs_create_file("plugged", 0644, socket->dir, socket, &plugged_fops);
	debugfs_create_file("journal", 0644, socket->dir, &socket->journal, &journal_fops);
	publish_number(socket->dir, "data", &socket->data);
	publish_number(socket->dir, "packets_in", &socket->packets_in);
	publish_number(socket->dir, "packets_dropped", &socket->packets_dropped);
	publish_number(socket->dir, "feeds", &socket->feeds);
	cam_publish(socket);
	for (kind = 0; kind < FRONTENDS; kind++)
		publish_frontend(socket, kind);
}
