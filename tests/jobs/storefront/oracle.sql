-- What the job must make, as plain statements over the files. Nothing is shared with the transforms.
-- Variables: folder, zone (of days), gap (minutes of a pause that ends a session).

create macro moment(text) as try_cast(text as timestamptz) at time zone 'UTC';
create macro local_day(t) as cast((t at time zone 'UTC') at time zone getvariable('zone') as date);
create macro half_up(n, d) as cast((cast(n as hugeint) * 2 + d) // (cast(d as hugeint) * 2) as bigint);
create macro file(name) as table
    select * from read_csv(getvariable('folder') || '/' || name || '.csv', header = true, all_varchar = true, nullstr = '');

create table users as
select cast(user_id as bigint) as user_id, user_name, email, phone, country, is_active = 't' as is_active,
       moment(updated_at) as since
from file('app_user');
create table user_states as
select * exclude (place) from (
    select *, row_number() over (partition by user_id, since order by user_name desc nulls last, email desc nulls last,
           phone desc nulls last, country desc nulls last, is_active desc nulls last) as place from users)
where place = 1;

create table buyer_states as
select * exclude (place) from (
    select *, row_number() over (partition by member_id, since
                                 order by user_id desc nulls last, detail desc nulls last) as place
    from (select cast(buyer_id as bigint) as member_id, cast(user_id as bigint) as user_id, tier as detail,
                 moment(updated_at) as since from file('buyer')))
where place = 1;
create table seller_states as
select * exclude (place) from (
    select *, row_number() over (partition by member_id, since
                                 order by user_id desc nulls last, detail desc nulls last) as place
    from (select cast(seller_id as bigint) as member_id, cast(user_id as bigint) as user_id, seller_name as detail,
                 moment(updated_at) as since from file('seller')))
where place = 1;

-- The state of each member at each moment at which its own row, or that of one of its people, changed.
create table states as
with own as (select 'buyer' as kind, * from buyer_states union all select 'seller', * from seller_states),
     moments as (
        select kind, member_id, since from own
        union select o.kind, o.member_id, u.since from own o join users u using (user_id)),
     accounts as (
        select m.kind, m.member_id, m.since, o.user_id, o.detail
        from moments m join own o on o.kind = m.kind and o.member_id = m.member_id and o.since <= m.since
        qualify row_number() over (partition by m.kind, m.member_id, m.since order by o.since desc) = 1),
     people as (
        select a.*, u.user_name, u.email, u.phone, u.country, u.is_active
        from accounts a left join user_states u using (user_id)
        qualify row_number() over (partition by a.kind, a.member_id, a.since
                                   order by u.since <= a.since desc, case when u.since <= a.since then u.since end desc, u.since) = 1)
select * from people;
create table versions as
with marked as (
    select *, lag(since) over w is null or (user_id, detail, user_name, email, phone, country, is_active) is distinct from
           (lag(user_id) over w, lag(detail) over w, lag(user_name) over w, lag(email) over w, lag(phone) over w,
            lag(country) over w, lag(is_active) over w) as begins
    from states window w as (partition by kind, member_id order by since))
select * exclude (begins), since as valid_from, lead(since) over (partition by kind, member_id order by since) as valid_to
from marked where begins;
create macro versions_at(wanted, member, t) as (
    select coalesce(max(valid_from) filter (where valid_from <= t), min(valid_from))
    from versions where kind = wanted and member_id = member);

create table categories as
select * exclude (since, place) from (
    select *, row_number() over (partition by category_id order by since desc, category_name desc, parent_id desc nulls last)
           as place
    from (select cast(category_id as bigint) as category_id, category_name, cast(parent_id as bigint) as parent_id,
                 moment(updated_at) as since from file('category') where category_name is not null))
where place = 1;
create table dim_category as
select c.category_id, c.category_name, c.parent_id, p.category_name as parent_name
from categories c left join categories p on p.category_id = c.parent_id
union all select -1, 'Uncategorised', null, null;

create table products as
select * exclude (since, place) from (
    select *, row_number() over (partition by product_id order by since desc, product_name desc nulls last,
           brand_id desc nulls last, manufacturer_id desc nulls last, price_cents desc nulls last) as place
    from (select cast(product_id as bigint) as product_id, product_name, cast(brand_id as bigint) as brand_id,
                 cast(manufacturer_id as bigint) as manufacturer_id,
                 half_up(cast(price as decimal(28, 4)) * 10000, 100) as price_cents,
                 is_active = 't' as is_active, moment(updated_at) as since from file('product')))
where place = 1;
create table rated as
select * exclude (place) from (
    select *, row_number() over (partition by rating_id order by since desc, product_id desc, score desc) as place
    from (select cast(rating_id as bigint) as rating_id, cast(product_id as bigint) as product_id,
                 cast(score as bigint) as score, moment(updated_at) as since from file('ratings')))
where place = 1 and score between 1 and 5;
create table dim_product as
with brands as (
        select brand_id, arg_max(coalesce(brand_name, ''), (moment(updated_at), coalesce(brand_name, ''))) as name
        from file('brand') group by all),
     makers as (
        select manufacturer_id as maker_id,
               arg_max(coalesce(manufacturer_name, ''), (moment(updated_at), coalesce(manufacturer_name, ''))) as name
        from file('manufacturer') group by all),
     scores as (
        select product_id, count(*) as ratings, sum(score)::double / count(*) as mean_score, min(score) as lowest_score,
               max(score) as highest_score
        from rated group by all)
select coalesce(p.product_id, s.product_id) as product_id, p.product_name, p.brand_id, nullif(b.name, '') as brand_name,
       p.manufacturer_id, nullif(m.name, '') as manufacturer_name, p.price_cents, p.is_active,
       coalesce(s.ratings, 0) as ratings, s.mean_score, s.lowest_score, s.highest_score,
       p.product_id is null as is_inferred
from products p full join scores s using (product_id)
left join brands b on b.brand_id = cast(p.brand_id as varchar)
left join makers m on m.maker_id = cast(p.manufacturer_id as varchar);

create table product_x_category as
with links as (
        select distinct cast(product_id as bigint) as product_id, cast(category_id as bigint) as category_id
        from file('product_category') where cast(category_id as bigint) in (select category_id from categories)),
     numbered as (
        select *, count(*) over (partition by product_id) as n,
               row_number() over (partition by product_id order by category_id) as place
        from links)
select product_id, category_id, category_name, 1000000 // n + cast(place <= 1000000 % n as bigint) as weight_ppm
from numbered join categories using (category_id)
union all
select product_id, -1, 'Uncategorised', 1000000 from products anti join links using (product_id);

create table rates as
select currency, cast(valid_from as date) as valid_from, max(cast(cast(rate as decimal(28, 9)) * 1000000000 as bigint)) as nano
from file('exchange_rate') where currency <> 'USD' group by all
union all select 'USD', date '0001-01-01', 1000000000;
create macro nano_of(which, on_day) as (
    select arg_max(nano, valid_from) from rates where currency = which and valid_from <= on_day);
create macro units_of(which) as case which when 'JPY' then 1 when 'KWD' then 1000 else 100 end;

create table clean_orders as
select * exclude (place, since), local_day(ordered_at) as day, status <> 'cancelled' as counts from (
    select *, row_number() over (partition by order_id order by since desc, buyer_id desc nulls last, ordered_at desc,
           raw_status desc nulls last, raw_currency desc nulls last, total desc) as place
    from (select cast(order_id as bigint) as order_id, cast(buyer_id as bigint) as buyer_id,
                 moment(ordered_at) as ordered_at, status as raw_status,
                 coalesce(lower(trim(status)), 'unknown') as status, currency as raw_currency,
                 coalesce(upper(currency), 'USD') as currency, try_cast(total_price as decimal(28, 4)) as total,
                 moment(updated_at) as since
          from file('orders') where updated_at is not null)
    where total is not null)
where place = 1 and total >= 0;
create table fact_orders as
with priced as (
    select *, units_of(currency) as minor_units, nano_of(currency, day) as rate_nano, nano_of('EUR', day) as eur,
           nano_of('JPY', day) as jpy
    from clean_orders),
totals as (
    select *, half_up(cast(total * 10000 as bigint) * minor_units, 10000) as total_minor
    from priced where rate_nano is not null)
select order_id, buyer_id, versions_at('buyer', buyer_id, ordered_at) as buyer_since, ordered_at, day, status, counts,
       currency, minor_units, rate_nano, total_minor,
       half_up(total_minor::hugeint * rate_nano * 100, 1000000000::hugeint * minor_units) as total_usd,
       half_up(total_minor::hugeint * rate_nano * 100, eur::hugeint * minor_units) as total_eur,
       half_up(total_minor::hugeint * rate_nano, jpy::hugeint * minor_units) as total_jpy
from totals;

create table clean_items as
select * exclude (place, since) from (
    select *, row_number() over (partition by order_item_id order by since desc, order_id desc, product_id desc nulls last,
           seller_id desc nulls last, quantity desc, price desc, tax desc) as place
    from (select cast(order_item_id as bigint) as order_item_id, cast(order_id as bigint) as order_id,
                 cast(product_id as bigint) as product_id, cast(seller_id as bigint) as seller_id,
                 cast(quantity as bigint) as quantity, cast(cast(base_price as decimal(28, 4)) * 10000 as bigint) as price,
                 cast(cast(tax as decimal(28, 4)) * 10000 as bigint) as tax, moment(updated_at) as since
          from file('order_item')))
where place = 1 and quantity >= 1 and price >= 0 and tax >= 0 and tax <= price;
create table fact_order_items as
with lines as (
    select i.*, o.buyer_id, o.buyer_since, o.ordered_at, o.day, o.counts, o.currency, o.minor_units, o.rate_nano,
           half_up(quantity::hugeint * price * minor_units, 10000) as gross_minor,
           half_up(quantity::hugeint * i.tax * minor_units, 10000) as tax_minor
    from clean_items i join fact_orders o using (order_id)),
dollars as (
    select *, half_up(gross_minor::hugeint * rate_nano * 100, 1000000000::hugeint * minor_units) as gross_cents,
           half_up(tax_minor::hugeint * rate_nano * 100, 1000000000::hugeint * minor_units) as tax_cents
    from lines)
select order_item_id, order_id, product_id, seller_id, versions_at('seller', seller_id, ordered_at) as seller_since,
       buyer_id, buyer_since, ordered_at, day, counts, currency, quantity, gross_minor, tax_minor,
       gross_minor - tax_minor as net_minor, gross_cents, tax_cents, gross_cents - tax_cents as net_cents,
       case when counts then gross_cents - tax_cents else 0 end as revenue_cents
from dollars;

create table fact_clickstream as
with once as (
        select * exclude (click_id, received_at),
               row_number() over (partition by event_id order by received_at, click_id) as place
        from (select cast(click_id as bigint) as click_id, moment(received_at) as received_at, event_id, moment(event_at) as event_at, event_type, cast(user_id as bigint) as user_id,
                     cast(product_id as bigint) as product_id, cast(order_id as bigint) as order_id
              from file('clickstream'))),
     marked as (
        select * exclude (place), event_at - lag(event_at) over w > to_minutes(getvariable('gap')) as late
        from once where place = 1 and event_type <> 'hover'
        window w as (partition by user_id order by event_at, event_id)),
     numbered as (
        select *, 1 + count(*) filter (where late) over (partition by user_id order by event_at, event_id
                                                         rows unbounded preceding) as session
        from marked)
select event_id, event_at, local_day(event_at) as day, event_type, user_id, product_id, order_id,
       case when user_id is not null then session end as session_number,
       case when user_id is not null
            then row_number() over (partition by user_id, session order by event_at, event_id) end as event_number
from numbered;

create table wide_orders as
with sums as (
    select order_id, count(*) as items, sum(quantity)::bigint as quantity, sum(gross_minor)::bigint as lines_minor,
           sum(revenue_cents)::bigint as revenue_cents
    from fact_order_items group by all)
select o.*, v.detail as tier, v.country as buyer_country, coalesce(items, 0) as items, coalesce(quantity, 0) as quantity,
       coalesce(lines_minor, 0) as lines_minor, total_minor - coalesce(lines_minor, 0) as difference_minor,
       coalesce(revenue_cents, 0) as revenue_cents
from fact_orders o left join sums using (order_id)
left join versions v on v.kind = 'buyer' and v.member_id = o.buyer_id and v.valid_from = o.buyer_since;

create table shares as
with linked as (
        select order_item_id, revenue_cents, coalesce(x.category_id, -1) as category_id,
               coalesce(x.category_name, 'Uncategorised') as category_name, coalesce(x.weight_ppm, 1000000) as weight_ppm
        from fact_order_items left join product_x_category x using (product_id)),
     cut as (
        select *, revenue_cents * weight_ppm // 1000000 as low, revenue_cents * weight_ppm % 1000000 as rest from linked),
     ranked as (
        select *, revenue_cents - sum(low) over (partition by order_item_id) as missing,
               row_number() over (partition by order_item_id order by rest desc, category_id) as place
        from cut)
select order_item_id, category_id, category_name, weight_ppm, low + cast(place <= missing as bigint) as cents from ranked;
create table wide_order_items as
with lists as (
    select order_item_id, list(category_id order by category_id) as category_ids,
           list(category_name order by category_id) as categories, list(weight_ppm order by category_id) as weights_ppm,
           list(cents order by category_id) as category_revenue_cents
    from shares group by all)
select i.*, p.product_name, p.brand_name, p.manufacturer_name, p.mean_score, s.detail as seller_name,
       b.country as buyer_country, l.* exclude (order_item_id)
from fact_order_items i join lists l using (order_item_id)
left join dim_product p using (product_id)
left join versions s on s.kind = 'seller' and s.member_id = i.seller_id and s.valid_from = i.seller_since
left join versions b on b.kind = 'buyer' and b.member_id = i.buyer_id and b.valid_from = i.buyer_since;

create table daily_category_metrics as
select i.day, s.category_id, s.category_name, count(distinct i.order_id) as orders, count(*) as items,
       sum(i.quantity)::bigint as quantity, sum(s.cents)::bigint as weighted_revenue_cents,
       sum(i.revenue_cents)::bigint as impact_revenue_cents,
       sum(i.revenue_cents)::double / count(*) as mean_revenue_cents, median(i.revenue_cents) as median_revenue_cents
from fact_order_items i join shares s using (order_item_id) where i.counts group by all;
create table daily_order_metrics as
with days as (
    select cast(unnest(generate_series(min(day), max(day), interval 1 day)) as date) as day from fact_orders)
select day, count(*) filter (where counts) as orders, count(*) filter (where not counts) as uncounted_orders,
       coalesce(sum(revenue_cents), 0)::bigint as revenue_cents,
       coalesce(sum(revenue_cents), 0)::bigint as category_revenue_cents,
       case when count(*) filter (where counts) > 0
            then sum(revenue_cents)::double / count(*) filter (where counts) end as mean_revenue_cents
from days left join wide_orders using (day) group by all;
