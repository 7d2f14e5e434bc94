"""A gRPC server and a client of it, with Debian's python3-grpcio: `serve [key chain]` prints its port; `ask host:port ca prefix` prints what came."""
import sys
import time
from concurrent import futures

import grpc


def plain(data):
    return data


def unary(request, context):
    context.set_trailing_metadata((("trail", "yes"),))
    return b"echo:" + request


def many(request, _context):
    for i in range(int(request)):
        yield b"item%d" % i


def total(requests, _context):
    return b"%d" % sum(len(r) for r in requests)


def twice(requests, _context):
    for r in requests:
        yield r * 2


def fail(_request, context):
    context.abort(grpc.StatusCode.NOT_FOUND, "nothing here")


def slow(_request, _context):
    time.sleep(5)
    return b""


class Handlers(grpc.GenericRpcHandler):
    def service(self, details):
        return {
            "Unary": grpc.unary_unary_rpc_method_handler(unary, plain, plain),
            "Many": grpc.unary_stream_rpc_method_handler(many, plain, plain),
            "Total": grpc.stream_unary_rpc_method_handler(total, plain, plain),
            "Twice": grpc.stream_stream_rpc_method_handler(twice, plain, plain),
            "Fail": grpc.unary_unary_rpc_method_handler(fail, plain, plain),
            "Slow": grpc.unary_unary_rpc_method_handler(slow, plain, plain),
        }.get(details.method.split("/")[-1])


def serve(key=None, chain=None):
    server = grpc.server(futures.ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers((Handlers(),))
    if key is not None:
        with open(key, "rb") as k, open(chain, "rb") as c:
            port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(k.read(), c.read())]))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)
    server.wait_for_termination()


def refused(call, **more):
    try:
        call(b"", **more)
        return "no error"
    except grpc.RpcError as e:
        return f"{e.code().name} {e.details()}" if e.code() == grpc.StatusCode.NOT_FOUND else e.code().name


def ask(at, ca, prefix):
    with open(ca, "rb") as f:
        channel = grpc.secure_channel(at, grpc.ssl_channel_credentials(f.read()))
    answer, call = channel.unary_unary(prefix + "/Unary", plain, plain).with_call(b"hello", timeout=30)
    print(answer.decode(), " ".join(f"{m.key}={m.value}" for m in call.trailing_metadata()))
    print(len(list(channel.unary_stream(prefix + "/Many", plain, plain)(b"500", timeout=30))))
    print(channel.stream_unary(prefix + "/Total", plain, plain)(iter([b"x" * 10000] * 100), timeout=30).decode())
    got = list(channel.stream_stream(prefix + "/Twice", plain, plain)(iter([b"%d" % i for i in range(50)]), timeout=30))
    print(len(got), got[0].decode(), got[-1].decode()[:2])
    print(refused(channel.unary_unary(prefix + "/Fail", plain, plain), timeout=30))
    print(refused(channel.unary_unary(prefix + "/None", plain, plain), timeout=30))
    print(refused(channel.unary_unary(prefix + "/Slow", plain, plain), timeout=1))
    print(len(channel.unary_unary(prefix + "/Unary", plain, plain)(b"z" * 3_000_000, timeout=30)))


if __name__ == "__main__":
    {"serve": serve, "ask": ask}[sys.argv[1]](*sys.argv[2:])
