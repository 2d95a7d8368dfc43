// As much of a document as the page needs, so that its tests need no browser.
'use strict';

class FakeNode {
  constructor(tag) {
    this.tagName = tag;
    this.childNodes = [];
    this.attributes = {};
    this.listeners = {};
    this.style = {setProperty: (name, value) => { this.style[name] = value; }};
    this.dataset = {};
    this.clientWidth = 900;
    this.offsetWidth = 100;
    this.offsetHeight = 40;
    this.hidden = false;
  }
  get firstChild() { return this.childNodes[0]; }
  get textContent() {
    return this.childNodes.map((c) => (c instanceof FakeNode ? c.textContent : c)).join('');
  }
  set textContent(text) { this.childNodes = [String(text)]; }
  setAttribute(name, value) {
    this.attributes[name] = String(value);
    if (name.startsWith('data-')) this.dataset[name.slice(5)] = String(value);
    if (name === 'value') this.value = String(value);
  }
  getAttribute(name) { return this.attributes[name] ?? null; }
  removeAttribute(name) { delete this.attributes[name]; }
  append(...nodes) {
    for (const node of nodes) {
      if (node instanceof FakeNode) node.parent = this;
      this.childNodes.push(node instanceof FakeNode ? node : String(node));
    }
  }
  prepend(...nodes) {
    this.append(...nodes);
    this.childNodes.unshift(...this.childNodes.splice(this.childNodes.length - nodes.length));
  }
  replaceChildren(...nodes) {
    this.childNodes = [];
    this.append(...nodes);
  }
  remove() { this.parent.childNodes = this.parent.childNodes.filter((c) => c !== this); }
  addEventListener(name, f) { (this.listeners[name] ||= []).push(f); }
  fire(name, event = {}) { (this.listeners[name] || []).forEach((f) => f(event)); }
  getContext() { return {measureText: (text) => ({width: 7.5 * text.length})}; }
  // All nodes below for which `test` holds.
  all(test) {
    return this.childNodes.filter((c) => c instanceof FakeNode)
        .flatMap((c) => [...(test(c) ? [c] : []), ...c.all(test)]);
  }
  withTag(tag) { return this.all((n) => n.tagName === tag); }
  withClass(name) {
    return this.all((n) => (n.attributes.class || '').split(' ').includes(name));
  }
  querySelector(selectors) {
    for (const selector of selectors.split(',')) {
      const [tag, name] = selector.trim().split('.');
      const found = this.withClass(name).find((n) => tag === '' || n.tagName === tag);
      if (found) return found;
    }
    return null;
  }
}

class FakeDocument {
  constructor(report) {
    this.body = new FakeNode('body');
    this.documentElement = new FakeNode('html');
    this.named = {};
    for (const id of ['report', 'model', 'theme', 'page', 'footer']) {
      this.named[id] = new FakeNode('div');
      this.body.append(this.named[id]);
    }
    this.named.report.textContent = JSON.stringify(report);
    this.title = '';
  }
  createElement(tag) { return new FakeNode(tag); }
  createElementNS(_, tag) { return new FakeNode(tag); }
  getElementById(id) { return this.named[id]; }
  querySelector(selector) { return this.body.querySelector(selector); }
}

module.exports = {FakeNode, FakeDocument};
