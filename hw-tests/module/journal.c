// SPDX-License-Identifier: GPL-2.0
/* What the card was asked to do and when: the test reads it back and compares. */
#include <linux/ktime.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include "tuner.h"

int journal_create(struct journal *journal)
{
	spin_lock_init(&journal->lock);
	journal->lines = kvcalloc(JOURNAL_LINES, sizeof(*journal->lines), GFP_KERNEL);
	return journal->lines ? 0 : -ENOMEM;
}

void journal_destroy(struct journal *journal)
{
	kvfree(journal->lines);
}

/* May be called from any context that dvb-core calls a driver from. */
void journal_note(struct journal *journal, const char *format, ...)
{
	struct journal_line *line;
	unsigned long flags;
	va_list args;

	spin_lock_irqsave(&journal->lock, flags);
	line = &journal->lines[journal->next % JOURNAL_LINES];
	line->seq = journal->next++;
	line->at_us = ktime_to_us(ktime_get());
	va_start(args, format);
	vscnprintf(line->text, sizeof(line->text), format, args);
	va_end(args);
	spin_unlock_irqrestore(&journal->lock, flags);
}

static int journal_show(struct seq_file *file, void *unused)
{
	struct journal *journal = file->private;
	struct journal_line *copy = kmalloc(sizeof(*copy), GFP_KERNEL);
	u64 seq, end;

	if (!copy)
		return -ENOMEM;
	spin_lock_irq(&journal->lock);
	end = journal->next;
	seq = max(journal->first, end > JOURNAL_LINES ? end - JOURNAL_LINES : 0);
	spin_unlock_irq(&journal->lock);
	for (; seq < end; seq++) {
		spin_lock_irq(&journal->lock);
		*copy = journal->lines[seq % JOURNAL_LINES];
		spin_unlock_irq(&journal->lock);
		/* Overwritten since we looked: the reader sees the hole in the numbers. */
		if (copy->seq == seq)
			seq_printf(file, "%llu %llu %s\n", copy->seq, copy->at_us, copy->text);
	}
	kfree(copy);
	return 0;
}

static int journal_open(struct inode *inode, struct file *file)
{
	return single_open_size(file, journal_show, inode->i_private, 64 * 1024);
}

/* Anything written forgets what was noted so far. */
static ssize_t journal_forget(struct file *file, const char __user *buf, size_t count, loff_t *at)
{
	struct journal *journal = ((struct seq_file *)file->private_data)->private;

	spin_lock_irq(&journal->lock);
	journal->first = journal->next;
	spin_unlock_irq(&journal->lock);
	return count;
}

const struct file_operations journal_fops = {
	.owner = THIS_MODULE,
	.open = journal_open,
	.read = seq_read,
	.write = journal_forget,
	.llseek = seq_lseek,
	.release = single_release,
};
