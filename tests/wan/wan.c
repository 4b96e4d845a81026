/* A long line between two network namespaces: delay, a rate, a buffer, loss from a seed, and breaks.
 *
 *   wan --near NETNS --far NETNS [--delay MS] [--rate KBIT] [--buffer KIB] [--loss PER_100000] [--seed N]
 *
 * The problem: tests want a wide area between two daemons of one machine, on kernels that have no netem. The idea: a
 * packet that the kernel sends into a TUN device arrives here as bytes, and what is written to the other namespace's
 * device arrives there. In between a packet is what we make of it:
 *
 *   near's "wan", 10.77.0.1  ->  [lost?] [room?] queue: packets, each with its due instant  ->  far's "wan", 10.77.0.2
 *
 * Both ways have a queue of their own. A packet leaves the near end of the line when those before it have left, and
 * arrives so much later as the line is long:
 *
 *   leaves  = max(now, the last one left) + size / rate           arrives = leaves + delay
 *
 * That is a token bucket that holds one packet, behind a buffer: a packet that would wait longer for its turn than the
 * buffer holds is dropped, as a router drops it. Since instants only grow, each queue is in order, and its head is the
 * next to be due.
 *
 * Both namespaces exist already (ip netns add), nothing else is needed. "ready" is printed when both ends are up.
 * SIGUSR1 breaks the line: all that is on it or comes to it is lost, without a word to either end. SIGUSR2 mends it.
 * SIGTERM ends it. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/if_tun.h>
#include <arpa/inet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define PACKET_MAX 1500u /* the devices' MTU is the default one */
#define ETHERNET_BYTES 38u /* what a frame takes on a wire beside its packet: header, checksum, gap */
#define QUEUE_MAX 65536u /* packets on the line, each way; a power of two: 98 MB, two seconds of 400 Mbit/s */
#define TURN 64 /* packets taken from one end before the other has its turn */
#define SECOND_NS INT64_C(1000000000)
#define MS_NS INT64_C(1000000)

struct packet {
	int64_t due_ns;
	uint32_t size;
	uint8_t bytes[PACKET_MAX];
};

struct way {
	int from, to;            /* TUN devices */
	struct packet *queue;    /* a ring of QUEUE_MAX */
	uint64_t head, tail;     /* taken and put, ever */
	int64_t free_ns;         /* when the last packet has left the near end */
	uint64_t carried, bytes, dropped, lost;
};

struct line {
	int64_t delay_ns, buffer_ns;
	uint64_t rate_kbit, loss, random;
	bool broken;
	struct way ways[2];
};

static void die(const char *what)
{
	fprintf(stderr, "wan: %s: %s\n", what, strerrordesc_np(errno));
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * SECOND_NS + now.tv_nsec;
}

/* --- the two ends --- */

static void enter(const char *netns)
{
	char path[128];
	int fd;

	snprintf(path, sizeof path, "/run/netns/%s", netns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) != 0)
		die(path);
	close(fd);
}

/* What `ip addr add ADDRESS/24 dev NAME; ip link set NAME up` does. */
static void raise_device(const char *name, const char *address)
{
	struct ifreq request = { 0 };
	struct sockaddr_in ip = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
	if (address != NULL) {
		inet_pton(AF_INET, address, &ip.sin_addr);
		memcpy(&request.ifr_addr, &ip, sizeof ip);
		if (ioctl(fd, SIOCSIFADDR, &request) != 0)
			die("SIOCSIFADDR");
		inet_pton(AF_INET, "255.255.255.0", &ip.sin_addr);
		memcpy(&request.ifr_netmask, &ip, sizeof ip);
		if (ioctl(fd, SIOCSIFNETMASK, &request) != 0)
			die("SIOCSIFNETMASK");
	}
	if (ioctl(fd, SIOCGIFFLAGS, &request) != 0)
		die("SIOCGIFFLAGS");
	request.ifr_flags |= IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &request) != 0)
		die("SIOCSIFFLAGS");
	close(fd);
}

/* A device stays in the namespace it was made in, and its file works from anywhere. */
static int open_end(const char *netns, const char *address)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int fd;

	enter(netns);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		die("/dev/net/tun");
	snprintf(request.ifr_name, sizeof request.ifr_name, "wan");
	if (ioctl(fd, TUNSETIFF, &request) != 0)
		die("TUNSETIFF");
	raise_device("wan", address);
	raise_device("lo", NULL);
	return fd;
}

/* --- the line --- */

/* xorshift64*: the same seed loses the same packets of the sequence. */
static bool is_lost(struct line *line)
{
	line->random ^= line->random >> 12;
	line->random ^= line->random << 25;
	line->random ^= line->random >> 27;
	return (line->random * UINT64_C(0x2545F4914F6CDD1D) >> 33) % 100000 < line->loss;
}

static void take(struct line *line, struct way *way)
{
	static uint8_t lost[PACKET_MAX];
	int64_t now = now_ns();

	for (int i = 0; i < TURN; i++) {
		bool room = way->tail - way->head < QUEUE_MAX && way->free_ns - now <= line->buffer_ns;
		struct packet *packet = &way->queue[way->tail % QUEUE_MAX];
		ssize_t size = read(way->from, room ? packet->bytes : lost, PACKET_MAX);

		if (size <= 0)
			return;
		if (line->broken || is_lost(line)) {
			way->lost++;
		} else if (!room) {
			way->dropped++;
		} else {
			int64_t starts = way->free_ns > now ? way->free_ns : now;
			int64_t bits = 8 * (size + (int64_t)ETHERNET_BYTES);

			way->free_ns = starts + bits * MS_NS / (int64_t)line->rate_kbit;
			packet->due_ns = way->free_ns + line->delay_ns;
			packet->size = (uint32_t)size;
			way->tail++;
		}
	}
}

/* Hands over what is due; gives the instant at which more is, or INT64_MAX. */
static int64_t deliver(struct line *line, struct way *way)
{
	while (way->head != way->tail) {
		struct packet *packet = &way->queue[way->head % QUEUE_MAX];

		if (!line->broken && packet->due_ns > now_ns())
			return packet->due_ns;
		if (line->broken || write(way->to, packet->bytes, packet->size) < 0) {
			way->lost++;
		} else {
			way->carried++;
			way->bytes += packet->size;
		}
		way->head++;
	}
	return INT64_MAX;
}

/* False at SIGTERM or SIGINT. */
static bool on_signals(struct line *line, int signals)
{
	struct signalfd_siginfo info;

	while (read(signals, &info, sizeof info) == sizeof info) {
		if (info.ssi_signo != SIGUSR1 && info.ssi_signo != SIGUSR2)
			return false;
		line->broken = info.ssi_signo == SIGUSR1;
	}
	return true;
}

static void carry(struct line *line, int signals)
{
	struct way *ways = line->ways;

	do {
		int64_t first = deliver(line, &ways[0]), second = deliver(line, &ways[1]);
		int64_t wait = (first < second ? first : second) - now_ns();
		struct pollfd polled[3] = { { .fd = ways[0].from, .events = POLLIN },
					    { .fd = ways[1].from, .events = POLLIN },
					    { .fd = signals, .events = POLLIN } };
		struct timespec limit;

		if (wait < 0 || wait > SECOND_NS)
			wait = wait < 0 ? 0 : SECOND_NS;
		limit = (struct timespec){ .tv_sec = wait / SECOND_NS, .tv_nsec = wait % SECOND_NS };
		if (ppoll(polled, 3, &limit, NULL) < 0)
			die("ppoll");
		take(line, &ways[0]);
		take(line, &ways[1]);
	} while (on_signals(line, signals));
}

/* --- the beginning --- */

static uint64_t number(const char *text, uint64_t max)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || value > max) {
		fprintf(stderr, "wan: %s: a number from 0 to %" PRIu64 " is wanted\n", text, max);
		exit(2);
	}
	return value;
}

static void read_options(struct line *line, int argc, char **argv, const char *names[2])
{
	static const struct option options[] = {
		{ "near", required_argument, NULL, 'n' }, { "far", required_argument, NULL, 'f' },
		{ "delay", required_argument, NULL, 'd' }, { "rate", required_argument, NULL, 'r' },
		{ "buffer", required_argument, NULL, 'b' }, { "loss", required_argument, NULL, 'l' },
		{ "seed", required_argument, NULL, 's' }, { 0 },
	};
	uint64_t buffer_kib = 512, seed = 1;
	int option;

	*line = (struct line){ .delay_ns = 15 * MS_NS, .rate_kbit = 100000 };
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'n': names[0] = optarg; break;
		case 'f': names[1] = optarg; break;
		case 'd': line->delay_ns = (int64_t)number(optarg, 10000) * MS_NS; break;
		case 'r': line->rate_kbit = number(optarg, 10000000); break;
		case 'b': buffer_kib = number(optarg, 65536); break;
		case 'l': line->loss = number(optarg, 100000); break;
		case 's': seed = number(optarg, UINT32_MAX); break;
		default: exit(2);
		}
	}
	if (names[0] == NULL || names[1] == NULL || line->rate_kbit == 0) {
		fprintf(stderr, "usage: wan --near NETNS --far NETNS [--delay MS] [--rate KBIT] [--buffer KIB] "
				"[--loss PER_100000] [--seed N]\n");
		exit(2);
	}
	line->buffer_ns = (int64_t)(buffer_kib * 8192 * 1000000 / line->rate_kbit);
	line->random = (seed + 1) * UINT64_C(0x9E3779B97F4A7C15);
}

int main(int argc, char **argv)
{
	static struct line line;
	const char *names[2] = { NULL, NULL };
	sigset_t mask;
	int ends[2], signals;

	read_options(&line, argc, argv, names);
	prctl(PR_SET_TIMERSLACK, 1000ul); /* a wait of the line's is not rounded up by 50 us */
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	sigaddset(&mask, SIGUSR2);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	signals = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
	ends[0] = open_end(names[0], "10.77.0.1");
	ends[1] = open_end(names[1], "10.77.0.2");
	for (int i = 0; i < 2; i++) {
		line.ways[i] = (struct way){ .from = ends[i], .to = ends[1 - i] };
		line.ways[i].queue = calloc(QUEUE_MAX, sizeof(struct packet));
		if (line.ways[i].queue == NULL)
			die("memory");
	}
	printf("ready\n");
	fflush(stdout);
	carry(&line, signals);
	for (int i = 0; i < 2; i++) {
		const struct way *way = &line.ways[i];

		printf("%s carried %" PRIu64 " packets, %" PRIu64 " bytes; dropped %" PRIu64 ", lost %" PRIu64 "\n",
		       i == 0 ? "near to far:" : "far to near:", way->carried, way->bytes, way->dropped,
		       way->lost);
		free(way->queue);
	}
	return 0;
}
