// `node --import` this before a server that would listen on every address of the machine: it then listens on 127.0.0.1.

import net from 'node:net';

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...rest) {
  const done = rest.find(each => typeof each === 'function');
  return listen.call(this, { port: Number(port), host: '127.0.0.1' }, done);
};
