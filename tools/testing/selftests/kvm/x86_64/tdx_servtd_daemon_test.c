// SPDX-License-Identifier: GPL-2.0-only
/*
 * Service TDs: migration TDs for whoever connects to a socket, what clients can do to
 * each other, and what becomes of TDs whose migration TD is lost.
 *
 * Takes the program tdx_migtd, in the folder of the test.
 */
#include <dirent.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "kvm_util.h"
#include "processor.h"
#include "tdx_mig_pair.h"
#include "tdx_migtd_host.h"
#include "tdx_test.h"

#define MAX_LINE		512

/* The program, listening. */
struct daemon {
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	pid_t pid;
	/* What it writes. */
	FILE *log;
};

/* ----------------------------------------------------------------- the daemon */

static void __noreturn exec_daemon(const char *path, int log)
{
	char program[PATH_MAX] = {};
	ssize_t n = readlink("/proc/self/exe", program, PATH_MAX - 1);

	TEST_ASSERT(n > 0, "readlink() failed, errno %d", errno);
	strcpy(strrchr(program, '/') + 1, "tdx_migtd");
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(log, STDERR_FILENO);
	dup2(log, STDOUT_FILENO);
	execl(program, program, "--listen", path, NULL);
	_exit(KSFT_SKIP);
}

static pid_t start_program(const char *path, FILE **log)
{
	int fds[2];
	pid_t pid;

	TEST_ASSERT(!pipe2(fds, O_CLOEXEC), "pipe2() failed, errno %d", errno);
	pid = fork();
	TEST_ASSERT(pid >= 0, "fork() failed, errno %d", errno);
	if (!pid)
		exec_daemon(path, fds[1]);
	close(fds[1]);
	*log = fdopen(fds[0], "r");
	return pid;
}

/* Read on to a line with this text. */
static void log_expect(FILE *log, const char *fmt, ...)
{
	char text[MAX_LINE], line[MAX_LINE] = "";
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	while (fgets(line, sizeof(line), log)) {
		if (strstr(line, text))
			return;
	}
	TEST_FAIL("No line with '%s', the last one is '%s'", text, line);
}

static void expect_ended(struct daemon *d, u32 nr_left)
{
	log_expect(d->log, "ended, %u of %u", nr_left, TDX_MIGTD_MAX_CONNECTIONS);
}

static void daemon_start(struct daemon *d)
{
	d->pid = start_program(d->path, &d->log);
	log_expect(d->log, "ready, listens on %s", d->path);
}

/* Returns its wait status. */
static int daemon_kill(struct daemon *d, int signum)
{
	int status;

	TEST_ASSERT(!kill(d->pid, signum), "kill() failed, errno %d", errno);
	TEST_ASSERT_EQ(waitpid(d->pid, &status, 0), d->pid);
	fclose(d->log);
	d->pid = 0;
	return status;
}

static int daemon_count_files(struct daemon *d)
{
	char path[64];
	int nr = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", d->pid);
	dir = opendir(path);
	TEST_ASSERT(dir, "opendir() failed, errno %d", errno);
	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr;
}

FIXTURE(daemon)
{
	struct daemon d;
};

FIXTURE_SETUP(daemon)
{
	char dir[] = "/tmp/tdx_servtd_daemon_test.XXXXXX";

	TEST_ASSERT(mkdtemp(dir), "mkdtemp() failed, errno %d", errno);
	snprintf(self->d.path, sizeof(self->d.path), "%s/socket", dir);
	daemon_start(&self->d);
}

FIXTURE_TEARDOWN(daemon)
{
	if (self->d.pid)
		TEST_ASSERT_EQ(daemon_kill(&self->d, SIGTERM), 0);
	TEST_ASSERT(access(self->d.path, F_OK) && errno == ENOENT, "The socket is left behind");
	*strrchr(self->d.path, '/') = '\0';
	TEST_ASSERT(!rmdir(self->d.path), "rmdir() failed, errno %d", errno);
}

/* -------------------------------------------------- clients without the library */

static struct sockaddr_un get_address(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	strcpy(address.sun_path, path);
	return address;
}

static int raw_connect(const char *path)
{
	const struct sockaddr_un address = get_address(path);
	int sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	TEST_ASSERT(!connect(sock, (const struct sockaddr *)&address, sizeof(address)),
		    "connect() failed, errno %d", errno);
	return sock;
}

static struct tdx_migtd_packet raw_receive(int sock, u32 type)
{
	struct tdx_migtd_packet p;

	TEST_ASSERT_EQ(recv(sock, &p, sizeof(p), MSG_TRUNC), (ssize_t)sizeof(p));
	TEST_ASSERT_EQ(p.type, type);
	return p;
}

static void raw_send(int sock, const void *data, size_t size)
{
	TEST_ASSERT_EQ(send(sock, data, size, MSG_NOSIGNAL), (ssize_t)size);
}

/* Connect, and take the greeting. */
static int raw_meet(const char *path)
{
	int sock = raw_connect(path);
	struct tdx_migtd_packet p = raw_receive(sock, TDX_MIGTD_HELLO);

	TEST_ASSERT_EQ(p.hello.magic, TDX_MIGTD_MAGIC);
	TEST_ASSERT_EQ(p.hello.version, TDX_MIGTD_VERSION);
	return sock;
}

static struct tdx_migtd_packet get_hello(u32 version)
{
	return (struct tdx_migtd_packet) {
		.type = TDX_MIGTD_HELLO,
		.hello.magic = TDX_MIGTD_MAGIC,
		.hello.version = version,
	};
}

/* -------------------------------------------------------------------- clients */

TD_TEST_F(daemon, td_is_migrated_by_two_migration_tds_of_a_daemon)
{
	struct td_host src = {}, dst = {};
	struct td_pair p;

	td_host_connect(&src, self->d.path);
	td_host_connect(&dst, self->d.path);
	td_host_create_pair(&p, &src, &dst);
	td_host_exchange(&src, &dst, 1);
	td_pair_migrate(&p);
	td_pair_free(&p);
	td_host_stop(&dst);
	expect_ended(&self->d, 1);
	td_host_stop(&src);
	expect_ended(&self->d, 0);
}

/* How far a client gets. */
enum phase {
	PHASE_CONNECTED,
	PHASE_GREETED,
	PHASE_READY,
	PHASE_BOUND,
	PHASE_STARTED,
	PHASE_BEGUN,
	PHASE_ENDING,
	NR_PHASES,
};

static void __noreturn die_in_phase(const char *path, enum phase phase)
{
	const struct tdx_migtd_packet hello = get_hello(TDX_MIGTD_VERSION);
	struct td_host h = {};

	if (phase == PHASE_CONNECTED) {
		raw_connect(path);
	} else if (phase == PHASE_GREETED) {
		raw_send(raw_meet(path), &hello, sizeof(hello));
	} else {
		td_host_connect(&h, path);
		if (phase >= PHASE_BOUND)
			td_host_create_target(&h);
		if (phase >= PHASE_STARTED)
			td_host_send_start(&h, 1);
		if (phase >= PHASE_BEGUN)
			td_host_receive(&h, 1, TDX_MIGTD_MESSAGE);
		if (phase >= PHASE_ENDING) {
			const struct tdx_migtd_packet junk = {
				.type = TDX_MIGTD_MESSAGE,
				.request_id = 1,
				.length = 1,
			};

			td_host_send(&h, &junk);
		}
	}
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

TD_TEST_F(daemon, client_that_dies_leaves_nothing_behind)
{
	const int nr_files = daemon_count_files(&self->d);
	enum phase phase;
	int status;
	pid_t pid;

	for (phase = 0; phase < NR_PHASES; phase++) {
		pid = fork();
		TEST_ASSERT(pid >= 0, "fork() failed, errno %d", errno);
		if (!pid)
			die_in_phase(self->d.path, phase);
		TEST_ASSERT_EQ(waitpid(pid, &status, 0), pid);
		TEST_ASSERT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
			    "Phase %d: the client does not get there, wait status 0x%x", phase,
			    status);
		expect_ended(&self->d, 0);
		TEST_ASSERT_EQ(daemon_count_files(&self->d), nr_files);
	}
}

TD_TEST_F(daemon, client_that_sends_noise_loses_its_own_migration_td_only)
{
	const struct tdx_migtd_packet hello = get_hello(TDX_MIGTD_VERSION);
	/* Instead of a hello. */
	struct {
		struct tdx_migtd_packet p;
		u8 more[1024];
	} noise[] = {
		{ .p = { .type = TDX_MIGTD_HELLO } },
		{ .p = { .type = TDX_MIGTD_START } },
		{ .p = { .type = ~0U } },
		{ .p = hello },
		{ .p = hello },
		{ .p = hello },
		{ .p = hello },
	};
	const size_t sizes[] = {
		sizeof(hello), sizeof(hello), sizeof(hello), 1, TDX_MIGTD_HELLO_SIZE - 1,
		sizeof(hello) - 1, sizeof(noise[0]),
	};
	struct td_host bystander = {}, h = {};
	struct kvm_vm *vm;
	int i, sock;

	kvm_static_assert(ARRAY_SIZE(noise) == ARRAY_SIZE(sizes));
	td_host_connect(&bystander, self->d.path);
	vm = td_host_create_target(&bystander);

	for (i = 0; i < ARRAY_SIZE(noise); i++) {
		sock = raw_meet(self->d.path);
		raw_send(sock, &noise[i], sizes[i]);
		log_expect(self->d.log, "the client sends");
		log_expect(self->d.log, "failed with status %d, 1 of", KSFT_FAIL);
		close(sock);
	}

	td_host_connect(&h, self->d.path);
	memset(noise, 0xa5, sizeof(noise));
	raw_send(h.client.socket, noise, sizeof(noise));
	td_host_expect_end(&h);
	log_expect(self->d.log, "failed with status %d, 1 of", KSFT_FAIL);
	td_host_stop(&h);

	td_host_begin(&bystander, 1);
	td_host_stop(&bystander);
	kvm_vm_free(vm);
}

TD_TEST_F(daemon, connections_are_limited)
{
	int socks[TDX_MIGTD_MAX_CONNECTIONS], i;
	struct tdx_migtd_client c;
	struct tdx_migtd_packet p;

	for (i = 0; i < ARRAY_SIZE(socks); i++)
		socks[i] = raw_meet(self->d.path);
	TEST_ASSERT_EQ(tdx_migtd_client_connect(&c, self->d.path), -EBUSY);
	p = raw_receive(raw_connect(self->d.path), TDX_MIGTD_REFUSE);
	TEST_ASSERT_EQ(p.hello.magic, TDX_MIGTD_MAGIC);
	TEST_ASSERT_EQ(p.hello.version, TDX_MIGTD_VERSION);
	TEST_ASSERT_EQ(p.hello.refusal, TDX_MIGTD_REFUSE_FULL);

	close(socks[0]);
	expect_ended(&self->d, TDX_MIGTD_MAX_CONNECTIONS - 1);
	socks[0] = raw_meet(self->d.path);
	for (i = 0; i < ARRAY_SIZE(socks); i++)
		close(socks[i]);
	expect_ended(&self->d, 0);
}

/* ------------------------------------------------------------------- versions */

TD_TEST_F(daemon, client_of_another_version_is_told_so)
{
	struct {
		struct tdx_migtd_packet p;
		u64 more;
	} hello = { .p = get_hello(TDX_MIGTD_VERSION + 1) };
	const size_t sizes[] = { TDX_MIGTD_HELLO_SIZE, sizeof(hello.p), sizeof(hello) };
	struct tdx_migtd_packet p;
	int i, sock;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		sock = raw_meet(self->d.path);
		raw_send(sock, &hello, sizes[i]);
		p = raw_receive(sock, TDX_MIGTD_REFUSE);
		TEST_ASSERT_EQ(p.hello.refusal, TDX_MIGTD_REFUSE_VERSION);
		TEST_ASSERT_EQ(p.hello.version, TDX_MIGTD_VERSION);
		TEST_ASSERT_EQ(recv(sock, &p, sizeof(p), 0), 0);
		log_expect(self->d.log, "the client sends a hello of another version");
		close(sock);
	}
}

/* What a client makes of a program that says this. */
static int connect_to(const void *said, size_t size)
{
	char path[] = "/tmp/tdx_servtd_daemon_test.XXXXXX";
	struct tdx_migtd_client c;
	struct sockaddr_un address;
	int listener, ret, status;
	pid_t pid;

	TEST_ASSERT(mkdtemp(path) && !rmdir(path), "No name for a socket");
	address = get_address(path);
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	TEST_ASSERT(!bind(listener, (struct sockaddr *)&address, sizeof(address)) &&
		    !listen(listener, 1), "No socket, errno %d", errno);
	pid = fork();
	TEST_ASSERT(pid >= 0, "fork() failed, errno %d", errno);
	if (!pid) {
		int sock = accept(listener, NULL, NULL);

		if (size)
			raw_send(sock, said, size);
		_exit(0);
	}
	ret = tdx_migtd_client_connect(&c, path);
	TEST_ASSERT_EQ(waitpid(pid, &status, 0), pid);
	TEST_ASSERT_EQ(status, 0);
	close(listener);
	unlink(path);
	return ret;
}

TD_TEST(client_recognizes_a_program_that_it_cannot_talk_to)
{
	struct tdx_migtd_packet p = get_hello(TDX_MIGTD_VERSION + 1);
	struct tdx_migtd_client c;

	TEST_ASSERT_EQ(tdx_migtd_client_connect(&c, "/tmp/there is no such socket"), -ENOENT);
	TEST_ASSERT_EQ(connect_to(NULL, 0), -ECONNRESET);
	TEST_ASSERT_EQ(connect_to(&p, sizeof(p)), -EPROTONOSUPPORT);
	TEST_ASSERT_EQ(connect_to(&p, TDX_MIGTD_HELLO_SIZE), -EPROTONOSUPPORT);
	TEST_ASSERT_EQ(connect_to(&p, TDX_MIGTD_HELLO_SIZE - 1), -EPROTO);
	p.hello.version = TDX_MIGTD_VERSION;
	TEST_ASSERT_EQ(connect_to(&p, TDX_MIGTD_HELLO_SIZE), -EPROTO);
	p.hello.magic++;
	TEST_ASSERT_EQ(connect_to(&p, sizeof(p)), -EPROTO);
}

/* ------------------------------------------------------------------ the socket */

static void expect_no_daemon(const char *path, const char *why)
{
	FILE *log;
	pid_t pid = start_program(path, &log);
	int status;

	log_expect(log, why);
	TEST_ASSERT_EQ(waitpid(pid, &status, 0), pid);
	TEST_ASSERT(WIFEXITED(status) && WEXITSTATUS(status) == KSFT_FAIL, "wait status 0x%x",
		    status);
	fclose(log);
}

TD_TEST_F(daemon, socket_belongs_to_one_daemon_and_one_user)
{
	struct td_host h = {};
	struct stat st;

	TEST_ASSERT(!stat(self->d.path, &st), "stat() failed, errno %d", errno);
	TEST_ASSERT_EQ(st.st_mode, (mode_t)(S_IFSOCK | 0600));

	expect_no_daemon(self->d.path, strerror(EADDRINUSE));
	td_host_connect(&h, self->d.path);
	td_host_stop(&h);
}

TD_TEST_F(daemon, socket_of_a_daemon_that_died_is_replaced)
{
	struct td_host h = {};

	daemon_kill(&self->d, SIGKILL);
	TEST_ASSERT(!access(self->d.path, F_OK), "The socket is gone");
	daemon_start(&self->d);
	td_host_connect(&h, self->d.path);
	td_host_stop(&h);
}

TD_TEST_F(daemon, file_that_is_no_socket_is_kept)
{
	struct stat st;

	TEST_ASSERT_EQ(daemon_kill(&self->d, SIGTERM), 0);
	TEST_ASSERT(!mknod(self->d.path, S_IFREG | 0600, 0), "mknod() failed, errno %d", errno);
	expect_no_daemon(self->d.path, strerror(EADDRINUSE));
	TEST_ASSERT(!stat(self->d.path, &st) && S_ISREG(st.st_mode), "The file was replaced");
	unlink(self->d.path);
}

TD_TEST_F(daemon, migration_tds_end_before_the_daemon_does)
{
	struct tdx_migtd_packet p;
	struct td_host h = {};

	td_host_connect(&h, self->d.path);
	TEST_ASSERT_EQ(daemon_kill(&self->d, SIGTERM), 0);
	/* At this point, not some time later. */
	TEST_ASSERT_EQ(recv(h.client.socket, &p, sizeof(p), MSG_DONTWAIT), 0);
	td_host_stop(&h);
}

/* ------------------------------------------------------- TDs that lose theirs */

TD_TEST_F(daemon, td_runs_on_without_its_migration_td_and_gets_another_one)
{
	struct td_host src = {}, dst = {};
	struct td_pair p;

	td_host_connect(&src, self->d.path);
	td_host_connect(&dst, self->d.path);
	td_host_create_pair(&p, &src, &dst);
	td_host_begin(&src, 1);

	/* In the middle of an exchange. */
	daemon_kill(&self->d, SIGKILL);
	td_host_expect_end(&src);
	td_host_expect_end(&dst);
	td_vcpu_run_to_sync(p.vcpu, 2);

	/* The VM of the lost one is still there, as long as there is a fd, of no use. */
	td_host_bind(&src, p.vm, true);
	td_host_stop(&src);
	td_host_stop(&dst);

	daemon_start(&self->d);
	td_host_connect(&src, self->d.path);
	td_host_connect(&dst, self->d.path);
	td_host_bind(&src, p.vm, true);
	td_host_bind(&dst, p.d.vm, false);
	td_host_exchange(&src, &dst, 2);
	td_pair_migrate(&p);
	td_pair_free(&p);
	td_host_stop(&src);
	td_host_stop(&dst);
}

/* As a VMM does that has a migration TD only for as long as it needs one. */
TD_TEST_F(daemon, td_is_migrated_by_another_migration_td_than_it_was_launched_with)
{
	struct td_host src = {}, dst = {};
	struct td_pair p;

	td_host_connect(&src, self->d.path);
	td_host_connect(&dst, self->d.path);
	td_host_create_pair(&p, &src, &dst);
	td_host_stop(&src);
	td_host_stop(&dst);
	td_vcpu_run_to_sync(p.vcpu, 2);

	td_host_connect(&src, self->d.path);
	td_host_connect(&dst, self->d.path);
	td_host_bind(&src, p.vm, true);
	td_host_bind(&dst, p.d.vm, false);
	td_host_exchange(&src, &dst, 1);
	td_host_stop(&src);
	td_host_stop(&dst);
	td_pair_migrate(&p);

	/* On the way to the next host. */
	td_host_connect(&dst, self->d.path);
	td_host_bind(&dst, p.d.vm, true);
	td_host_begin(&dst, 2);
	td_host_stop(&dst);
	td_pair_free(&p);
}

TD_TEST_F(daemon, td_that_has_its_keys_is_migrated_without_a_migration_td)
{
	struct td_host src = {}, dst = {};
	struct td_pair p;

	td_host_connect(&src, self->d.path);
	td_host_connect(&dst, self->d.path);
	td_host_create_pair(&p, &src, &dst);
	td_host_exchange(&src, &dst, 1);
	TEST_ASSERT_EQ(daemon_kill(&self->d, SIGTERM), 0);
	td_host_stop(&src);
	td_host_stop(&dst);

	td_pair_migrate(&p);
	td_pair_free(&p);
}

int main(int argc, char *argv[])
{
	TEST_REQUIRE(kvm_has_tdx_mig());

	return test_harness_run(argc, argv);
}
