/* Counts the instructions that a guest executes, in QEMU's emulator (plugin API version 1, QEMU 7.2).
 *
 * PID 1 executes one of two otherwise useless instructions, an 8-byte NOP whose displacement spells a word, when it starts
 * and when the router is ready. The count at the first execution of each is written to the file of the argument `out=PATH`
 * at the moment of the second: "icount init=N ready=N".
 *
 * With the argument `ask=PATH` a socket (Unix, stream) answers whoever connects with the count of that moment, in digits.
 *
 * With the argument `where=PATH` a second socket answers with a line for each block of instructions of the kernel that was
 * executed so far, "ADDRESS COUNT", both in hexadecimal; a block that was translated twice has two lines.
 *
 * A block of instructions is counted as a whole when it is entered, without a call, so that the emulator stays fast. One CPU.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Debian ships no qemu-plugin.h: the few declarations that are used, by the documented interface. */
typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef void (*tb_cb_t)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*exec_cb_t)(unsigned int cpu, void *userdata);
enum { INLINE_ADD_U64 = 0, CB_NO_REGS = 0 };
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, tb_cb_t);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int op, void *counter, uint64_t add);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, exec_cb_t, int flags, void *userdata);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

enum { INIT, READY, MARKS };
static const unsigned char marks[MARKS][8] = {
	{0x0f, 0x1f, 0x84, 0x00, 'W', 'E', 'I', '0'},
	{0x0f, 0x1f, 0x84, 0x00, 'W', 'E', 'I', '1'},
};
static uint64_t executed, seen[MARKS];
static char path[4096];

static void marked(unsigned int cpu, void *mark)
{
	size_t which = (size_t)mark;

	(void)cpu;
	if (seen[which])
		return;
	seen[which] = executed;
	if (which != READY || !path[0])
		return;
	FILE *out = fopen(path, "w");
	if (!out)
		return;
	fprintf(out, "icount init=%llu ready=%llu\n", (unsigned long long)seen[INIT], (unsigned long long)seen[READY]);
	fclose(out);
}

/* Blocks, newest first; never freed, since the emulator may go back to any of them. */
static struct block {
	struct block *next;
	uint64_t address, executed;
} *blocks;
static int by_block;

static void *address_of_block(uint64_t address)
{
	struct block *block = calloc(1, sizeof(*block));

	if (!block)
		abort();
	block->address = address;
	block->next = blocks;
	__atomic_store_n(&blocks, block, __ATOMIC_RELEASE);
	return &block->executed;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	size_t count = qemu_plugin_tb_n_insns(tb);

	(void)id;
	qemu_plugin_register_vcpu_tb_exec_inline(tb, INLINE_ADD_U64, &executed, count);
	if (by_block && qemu_plugin_tb_vaddr(tb) >> 63)
		qemu_plugin_register_vcpu_tb_exec_inline(tb, INLINE_ADD_U64, address_of_block(qemu_plugin_tb_vaddr(tb)), count);
	for (size_t i = 0; i < count; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);

		if (qemu_plugin_insn_size(insn) != sizeof(marks[0]))
			continue;
		for (size_t which = 0; which < MARKS; which++)
			if (!memcmp(qemu_plugin_insn_data(insn), marks[which], sizeof(marks[which])))
				qemu_plugin_register_vcpu_insn_exec_cb(insn, marked, CB_NO_REGS, (void *)which);
	}
}

static void tell_count(FILE *client)
{
	fprintf(client, "%llu\n", (unsigned long long)__atomic_load_n(&executed, __ATOMIC_RELAXED));
}

static void tell_blocks(FILE *client)
{
	for (struct block *block = __atomic_load_n(&blocks, __ATOMIC_ACQUIRE); block; block = block->next)
		fprintf(client, "%llx %llx\n", (unsigned long long)block->address,
			(unsigned long long)__atomic_load_n(&block->executed, __ATOMIC_RELAXED));
}

struct question {
	int listener;
	void (*tell)(FILE *);
};

static void *answer(void *asked)
{
	struct question *question = asked;

	for (;;) {
		int client = accept(question->listener, NULL, NULL);
		FILE *stream = client < 0 ? NULL : fdopen(client, "w");

		if (!stream)
			return NULL;
		question->tell(stream);
		fclose(stream);
	}
}

static int ask(const char *where, void (*tell)(FILE *))
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct question *question = malloc(sizeof(*question));
	pthread_t thread;

	if (!question)
		return -1;
	question->tell = tell;
	question->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", where);
	if (question->listener < 0 || bind(question->listener, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(question->listener, 4))
		return -1;
	return pthread_create(&thread, NULL, answer, question);
}

__attribute__((visibility("default")))
int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
	(void)info;
	const char *count = NULL, *where = NULL;

	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "out=", 4))
			snprintf(path, sizeof(path), "%s", argv[i] + 4);
		if (!strncmp(argv[i], "ask=", 4))
			count = argv[i] + 4;
		if (!strncmp(argv[i], "where=", 6))
			where = argv[i] + 6;
	}
	by_block = where != NULL;
	if (!path[0] && !count) {
		fprintf(stderr, "icount: one of the arguments out=PATH and ask=PATH is missing\n");
		return -1;
	}
	if ((count && ask(count, tell_count)) || (where && ask(where, tell_blocks))) {
		perror("icount: a socket to be asked at");
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
